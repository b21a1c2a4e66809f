# The decision for one portion, said the naive way: with negations, one record at a time. For tests only.
#
# It shares nothing with `grant.rego` and its parts; generated pairs of caller and marks must be decided alike by both.
package entente.naive

default decision := {"visible": false, "pointer": false, "silent": false, "classes": {}}

decision := {"visible": visible, "pointer": pointer, "silent": silent, "classes": levels}

purpose := data.policy.purposes[input.caller.purpose]

marks := input.marks

me := input.caller

permissions contains permission if {
	some role in me.roles
	some permission in data.policy.roles[role].permissions
}

mine if marks.originator == me.agency.name

home if marks.originator_domain == me.agency.trust_domain

listed if me.agency.name in marks.releasable_to

# Height of a classification.
height("OFFICIAL") := 1

height("SECRET") := 2

height("TOP_SECRET") := 3

cleared if {
	height(marks.classification) <= height(me.clearance)
	not foreigner_at_the_top
}

foreigner_at_the_top if {
	marks.classification == "TOP_SECRET"
	not me.agency.country in me.nationalities
}

outside_a_compartment if {
	some compartment in marks.compartments
	not compartment in me.agency.compartments
}

# Agreements with the originator that count for the request, and those of them that cover the portion.
counts(agreement) if {
	marks.originator in agreement.partners
	me.purpose in agreement.purposes
	not lacks_basis(agreement)
	not misused(agreement)
}

lacks_basis(agreement) if {
	count(agreement.legal_bases) > 0
	not me.legal_basis in agreement.legal_bases
}

lacks_basis(agreement) if {
	count(agreement.legal_bases) > 0
	me.legal_basis == "UNSPECIFIED"
}

misused(agreement) if {
	agreement.use != "EVIDENTIAL"
	purpose.court
}

covers(agreement) if {
	counts(agreement)
	height(agreement.ceiling) >= height(marks.classification)
	marks.record_type in agreement.record_types
}

agreed if {
	some agreement in me.agreements
	covers(agreement)
}

# What covering agreements say of a class, all together.
said(class) := {transform |
	some agreement in me.agreements
	covers(agreement)
	transform := word(agreement, class)
}

word(agreement, class) := agreement.classes[class]

word(agreement, class) := agreement.classes["*"] if {
	not agreement.classes[class]
}

is_open if marks.tlp in ["CLEAR", "GREEN"]

default visible := false

visible if {
	not held_back
	would_see
}

held_back if {
	not mine
	marks.reach in ["POINTER", "SILENT", "NONE"]
}

would_see if {
	"REPORT_READ" in permissions
	purpose.operational
	cleared
	not outside_a_compartment
	not refused
}

# What refuses a portion to everybody but its originator.
refused if {
	not mine
	refusal
}

refusal if {
	is_array(marks.releasable_to)
	not listed
}

refusal if marks.sanitisation == "SOURCE_PROTECTED"

refusal if {
	marks.tlp == "RED"
	not listed
}

refusal if {
	marks.tlp == "AMBER_STRICT"
	not home
}

refusal if {
	not is_open
	not agreed
}

refusal if not marks.handling_code in ["P", "C"]

refusal if {
	"H0" in marks.europol_handling
	not purpose.crime
}

refusal if {
	"H2" in marks.europol_handling
	not listed
}

refusal if {
	"H3" in marks.europol_handling
	not me.authorised
}

default pointer := false

pointer if {
	not visible
	points
	"REPORT_READ" in permissions
	purpose.operational
	not outside_a_compartment
	marks.tlp != "RED"
	near
}

points if {
	marks.reach == "POINTER"
	would_see
}

points if {
	marks.fallback == "POINTER"
	not marks.reach in ["SILENT", "NONE"]
}

default silent := false

silent if {
	not visible
	not pointer
	hushed
	"REPORT_READ" in permissions
	purpose.operational
}

hushed if marks.reach == "SILENT"

hushed if {
	marks.fallback == "SILENT"
	marks.reach != "NONE"
}

near if home

near if {
	some agreement in me.agreements
	counts(agreement)
	marks.record_type in agreement.record_types
}

# Handling conditions that bite this caller on this portion.
bites contains "A1" if {
	"A1" in marks.handling_conditions
	purpose.direct_action
}

bites contains "A2" if {
	"A2" in marks.handling_conditions
	not purpose.investigative
}

bites contains "A3" if {
	"A3" in marks.handling_conditions
	not me.authorised
}

bites contains "S1" if {
	"S1" in marks.handling_conditions
	not home
}

bites contains "S2" if "S2" in marks.handling_conditions

bites contains "H1" if {
	"H1" in marks.europol_handling
	purpose.court
}

# Level of each class of a visible portion; what is not mentioned is withheld.
levels := {class: level |
	visible
	some class in every_class
	level := level_of(class)
}

every_class := [
	"HEADER", "MARKING", "REFERENCE", "SUMMARY", "TEAR_LINE", "GRADING", "INFORMATION", "PROVENANCE", "SOURCE",
	"IDENTITY", "BIOGRAPHIC", "CONTACT", "FINANCIAL", "OBJECT", "PLACE", "EVENT", "LINK", "OPERATION", "OFFICER",
	"INTERNAL",
]

level_of(class) := "full" if {
	in_full(class)
	not kept_back(class)
	not narrowed(class, {"FULL"})
	not unassured(class)
} else := "part" if {
	not "S2" in bites
	in_part(class)
	not narrowed(class, {"FULL", "GENERALISE"})
} else := "pseudonym" if {
	class in ["IDENTITY", "CONTACT", "FINANCIAL", "OBJECT"]
	not mine
	not "S2" in bites
	in_part(class)
	"PSEUDONYM" in said(class)
	me.case_stated
}

kept_back(class) if {
	not mine
	marks.reach == "REDACTED"
	not class in ["HEADER", "MARKING", "SUMMARY", "TEAR_LINE", "GRADING"]
}

# No agreement that covers the portion carries the class so.
narrowed(class, wanted) if {
	not mine
	not is_open
	not class in ["HEADER", "MARKING", "GRADING"]
	count(said(class) & wanted) == 0
}

# Abroad, personal classes in full need assurances.
unassured(class) if {
	not mine
	not home
	class in ["IDENTITY", "BIOGRAPHIC", "CONTACT", "FINANCIAL", "OBJECT"]
	not assured(class)
}

unassured("INFORMATION") if {
	not mine
	not home
	not marks.sanitisation in ["SANITISED", "TEAR_LINE"]
	not assured("INFORMATION")
}

assured(class) if {
	some agreement in me.agreements
	covers(agreement)
	word(agreement, class) == "FULL"
	"NO_TORTURE" in agreement.assurances
	"NO_DEATH_PENALTY" in agreement.assurances
	not data_unprotected(class, agreement)
}

data_unprotected("BIOGRAPHIC", agreement) if not "DATA_PROTECTION" in agreement.assurances

in_full(class) if class in ["HEADER", "MARKING", "SUMMARY", "GRADING"]

in_full(class) if {
	mine
	class != "SOURCE"
}

in_full("SOURCE") if {
	mine
	"source_handler" in me.roles
}

in_full("TEAR_LINE") if not "S2" in bites

in_full(class) if {
	class in ["INFORMATION", "LINK"]
	is_open
	marks.sanitisation in ["SANITISED", "TEAR_LINE"]
}

in_full(class) if {
	class in ["INFORMATION", "LINK"]
	"FULL" in said(class)
}

in_full("PROVENANCE") if {
	weighs
	me.agency.level != "LOCAL"
	me.agency.level != "UNSPECIFIED"
	count({"A2", "S1", "H1"} & bites) == 0
}

weighs if "officer" in me.roles

weighs if "analyst" in me.roles

in_full(class) if {
	class in ["OPERATION", "OFFICER"]
	home
	me.agency.level in ["REGIONAL", "NATIONAL"]
	purpose.investigative
}

in_part("OFFICER") if home

in_full("IDENTITY") if {
	purpose.investigative
	not "A1" in bites
}

in_part("IDENTITY") if count({"A1", "A2"} & bites) == 0

in_full("BIOGRAPHIC") if {
	purpose.investigative
	"FULL" in said("BIOGRAPHIC")
}

in_part("BIOGRAPHIC") if count(said("BIOGRAPHIC") & {"FULL", "GENERALISE"}) > 0

in_full("CONTACT") if {
	purpose.contacts
	not "A1" in bites
}

in_part("CONTACT") if not "A1" in bites

in_full("FINANCIAL") if purpose.money

in_part(class) if class == "FINANCIAL"

in_full("OBJECT") if {
	purpose.objects
	not "A1" in bites
}

in_part("OBJECT") if not "A1" in bites

in_full("PLACE") if {
	home
	count({"A1", "A3"} & bites) == 0
}

in_part("PLACE") if not "A1" in bites

in_full("EVENT") if not "A3" in bites
