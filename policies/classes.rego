# Of a portion that the caller sees: which classes of fields, in full, in their coarser form or as a pseudonym.
#
# The originator's own officers have everything in full; of sources, only source handlers.
package entente.classes

import data.entente.agreements
import data.entente.caller
import data.entente.conditions
import data.entente.portions
import data.entente.trees

# What whoever sees the portion needs to cite, handle and weigh it: no agreement narrows it.
always := {"full": trees.everything, "part": trees.nothing, "pseudonym": trees.nothing}

owner_only(rule) := {
	"full": trees.exactly(rule, "originator", input.agency.name),
	"part": trees.nothing,
	"pseudonym": trees.nothing,
}

# In full or not at all.
whole(children) := {"full": for_others(children), "part": trees.nothing, "pseudonym": trees.nothing}

# In full, or else in the coarser form; no coarser form under S2.
coarser(full, part) := {
	"full": for_others(full),
	"part": for_others(array.concat([conditions.s2], part)),
	"pseudonym": trees.nothing,
}

# An identifier: what goes in a coarser form may go as a pseudonym where an agreement carries that, for a case.
identifier(class, full, handling) := {
	"full": for_others(array.concat(full, [released(class, ["FULL"]), assured(class)])),
	"part": for_others(array.concat([conditions.s2], array.concat(handling, [released(class, ["FULL", "GENERALISE"])]))),
	"pseudonym": trees.all_of(array.concat([conditions.s2], array.concat(handling, [
		trees.any_of(agreements.covering("agreement_class", agreements.carrying(class, ["PSEUDONYM"]))),
		trees.holds("case_reference", caller.states_case),
	]))),
}

for_others(children) := trees.any_of([portions.own, trees.all_of(children)])

# What the originator shares in a redacted form goes to nobody in full.
not_redacted := trees.within("redacted", "reach", ["UNSPECIFIED"])

# Open portions rest on no agreement; of all others, one that covers them must carry the class. Where all that count
# carry it there is nothing to ask: whoever sees the portion sees it because it is open, or because one covers it.
released(class, transforms) := trees.everything if {
	count(agreements.carrying(class, transforms)) == count(agreements.by_terms)
} else := trees.any_of(array.concat(
	[portions.open("agreement_class")],
	agreements.covering("agreement_class", agreements.carrying(class, transforms)),
))

# Text goes to partners under an agreement; what the originator has sanitised, to everybody where TLP leaves it open.
text(class) := trees.any_of(array.concat(
	[trees.all_of([portions.open("text_agreement"), sanitised("text_agreement")])],
	agreements.covering("text_agreement", agreements.carrying(class, ["FULL"])),
))

sanitised(rule) := trees.within(rule, "sanitisation", ["SANITISED", "TEAR_LINE"])

personal(transforms) := trees.any_of(agreements.covering(
	"personal_agreement",
	agreements.carrying("BIOGRAPHIC", transforms),
))

# Of those whom it is about, abroad: how they will be treated, and their data.
assured(class) := trees.any_of(array.concat([portions.domestic("assurance")], assured_abroad(class)))

assured_abroad(class) := agreements.covering(
	"assurance",
	agreements.assuring(agreements.carrying(class, ["FULL"]), object.get(assurances, class, treatment)),
)

treatment := ["NO_DEATH_PENALTY", "NO_TORTURE"]

assurances := {"BIOGRAPHIC": array.concat(treatment, ["DATA_PROTECTION"])}

close_work := [
	not_redacted,
	portions.domestic("domestic_only"),
	trees.holds("regional_or_national", caller.regional_or_national),
	investigating,
]

investigating := trees.holds("investigative_purpose", caller.investigative)

by_class := {
	"HEADER": always,
	"MARKING": always,
	"GRADING": always,
	"SUMMARY": whole([released("SUMMARY", ["FULL"])]),
	"TEAR_LINE": whole([conditions.s2, released("TEAR_LINE", ["FULL"])]),
	"REFERENCE": owner_only("reference_stays"),
	"INTERNAL": owner_only("internal_stays"),
	"SOURCE": {
		"full": trees.all_of([
			trees.exactly("source_stays", "originator", input.agency.name),
			trees.holds("source_handler", caller.handles_sources),
		]),
		"part": trees.nothing,
		"pseudonym": trees.nothing,
	},
	"INFORMATION": whole([
		not_redacted,
		text("INFORMATION"),
		trees.any_of(array.concat(
			[sanitised("assurance"), portions.domestic("assurance")],
			assured_abroad("INFORMATION"),
		)),
	]),
	"LINK": whole([not_redacted, text("LINK")]),
	"PROVENANCE": whole([
		not_redacted,
		trees.holds("provenance_role", caller.weighs_provenance),
		trees.holds("provenance_level", caller.regional_or_above),
		conditions.a2,
		conditions.s1(portions.domestic("s1_sanitised_abroad")),
		conditions.h1,
		released("PROVENANCE", ["FULL"]),
	]),
	"OPERATION": whole(array.concat(close_work, [released("OPERATION", ["FULL"])])),
	"OFFICER": coarser(
		array.concat(close_work, [released("OFFICER", ["FULL"])]),
		[portions.domestic("domestic_only"), released("OFFICER", ["FULL", "GENERALISE"])],
	),
	"IDENTITY": identifier("IDENTITY", [not_redacted, investigating, conditions.a1], [conditions.a1, conditions.a2]),
	"BIOGRAPHIC": coarser(
		[not_redacted, investigating, personal(["FULL"]), assured("BIOGRAPHIC")],
		[personal(["FULL", "GENERALISE"])],
	),
	"CONTACT": identifier(
		"CONTACT",
		[not_redacted, trees.holds("contact_purpose", caller.follows_contacts), conditions.a1],
		[conditions.a1],
	),
	"FINANCIAL": identifier("FINANCIAL", [not_redacted, trees.holds("financial_purpose", caller.follows_money)], []),
	"OBJECT": identifier(
		"OBJECT",
		[not_redacted, trees.holds("object_purpose", caller.checks_objects), conditions.a1],
		[conditions.a1],
	),
	"PLACE": coarser(
		[not_redacted, portions.domestic("domestic_only"), conditions.a1, conditions.a3, released("PLACE", ["FULL"])],
		[conditions.a1, released("PLACE", ["FULL", "GENERALISE"])],
	),
	"EVENT": whole([not_redacted, conditions.a3, released("EVENT", ["FULL"])]),
}
