# What is true of the caller and of what it asks for. Every fact is false unless proven.
package entente.caller

rank := {"OFFICIAL": 1, "SECRET": 2, "TOP_SECRET": 3}

purpose := object.get(data.policy.purposes, input.purpose, {})

# The purpose serves police work, as opposed to running or auditing the broker.
default operational := false

operational if purpose.operational == true

default prevents_or_combats_crime := false

prevents_or_combats_crime if purpose.crime == true

default investigative := false

investigative if purpose.investigative == true

# What is learnt is not acted upon on the spot.
default takes_no_direct_action := false

takes_no_direct_action if purpose.direct_action == false

# What is learnt does not usually end up in court.
default leads_to_no_court := false

leads_to_no_court if purpose.court == false

default follows_money := false

follows_money if purpose.money == true

default follows_contacts := false

follows_contacts if purpose.contacts == true

default checks_objects := false

checks_objects if purpose.objects == true

# Somebody is named who authorised the request.
default authorised := false

authorised if input.authorised == true

default reads_reports := false

reads_reports if {
	some role in input.roles
	"REPORT_READ" in data.policy.roles[role].permissions
}

default weighs_provenance := false

weighs_provenance if {
	some role in input.roles
	data.policy.roles[role].weighs_provenance == true
}

default handles_sources := false

handles_sources if {
	some role in input.roles
	data.policy.roles[role].handles_sources == true
}

default regional_or_above := false

regional_or_above if input.agency.level in ["REGIONAL", "NATIONAL", "INTERNATIONAL"]

default regional_or_national := false

regional_or_national if input.agency.level in ["REGIONAL", "NATIONAL"]

default national_of_own_country := false

national_of_own_country if input.agency.country in input.nationalities

# The classifications that the caller is cleared for; TOP SECRET only for nationals of the agency's own country.
cleared := [level |
	some level, height in rank
	height <= rank[input.clearance]
	open_to_nationality(level)
]

open_to_nationality(level) if rank[level] <= rank.SECRET

open_to_nationality("TOP_SECRET") if national_of_own_country

# The classifications up to this one.
up_to(ceiling) := [level |
	some level, height in rank
	height <= rank[ceiling]
]

# The request says which case it serves.
default states_case := false

states_case if input.case_stated == true
