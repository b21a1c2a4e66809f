# Of a portion that the caller sees: which classes of fields, in full or in their coarser form.
#
# The originator's own officers have everything in full; of sources, only source handlers.
package entente.classes

import data.entente.caller
import data.entente.conditions
import data.entente.portions
import data.entente.trees

open := {"full": trees.everything, "part": trees.nothing, "pseudonym": trees.nothing}

owner_only(rule) := {"full": trees.eq(rule, "originator", input.agency.name), "part": trees.nothing, "pseudonym": trees.nothing}

# What the originator shares in a redacted form goes to nobody in full.
not_redacted := trees.within("redacted", "reach", ["UNSPECIFIED"])

# In full or not at all.
whole(children) := {"full": for_others(array.concat([not_redacted], children)), "part": trees.nothing, "pseudonym": trees.nothing}

# In full, or else in the coarser form; no coarser form under S2.
coarser(full, part) := {
	"full": for_others(array.concat([not_redacted], full)),
	"part": for_others(array.concat([conditions.s2], part)),
	"pseudonym": trees.nothing,
}

for_others(children) := trees.any_of([portions.own, trees.all_of(children)])

# Text goes to partners under an agreement; what the originator has sanitised, to everybody who sees the portion.
text := trees.any_of([
	trees.within("text_agreement", "sanitisation", ["SANITISED", "TEAR_LINE"]),
	portions.agreement("text_agreement"),
])

close_work := [
	portions.domestic("domestic_only"),
	trees.holds("regional_or_national", caller.regional_or_national),
	trees.holds("investigative_purpose", caller.investigative),
]

investigating := trees.holds("investigative_purpose", caller.investigative)

by_class := {
	"HEADER": open,
	"MARKING": open,
	"SUMMARY": open,
	"GRADING": open,
	"REFERENCE": owner_only("reference_stays"),
	"INTERNAL": owner_only("internal_stays"),
	"SOURCE": {
		"full": trees.all_of([
			trees.eq("source_stays", "originator", input.agency.name),
			trees.holds("source_handler", caller.handles_sources),
		]),
		"part": trees.nothing,
		"pseudonym": trees.nothing,
	},
	"TEAR_LINE": {"full": for_others([conditions.s2]), "part": trees.nothing, "pseudonym": trees.nothing},
	"INFORMATION": whole([text]),
	"LINK": whole([text]),
	"PROVENANCE": whole([
		trees.holds("provenance_role", caller.weighs_provenance),
		trees.holds("provenance_level", caller.regional_or_above),
		conditions.a2,
		conditions.s1(portions.domestic("s1_sanitised_abroad")),
		conditions.h1,
	]),
	"OPERATION": whole(close_work),
	"OFFICER": coarser(close_work, [portions.domestic("domestic_only")]),
	"IDENTITY": coarser([investigating, conditions.a1], [conditions.a1, conditions.a2]),
	"BIOGRAPHIC": coarser([investigating, portions.agreement("personal_agreement")], [portions.agreement("personal_agreement")]),
	"CONTACT": coarser([trees.holds("contact_purpose", caller.follows_contacts), conditions.a1], [conditions.a1]),
	"FINANCIAL": coarser([trees.holds("financial_purpose", caller.follows_money)], []),
	"OBJECT": coarser([trees.holds("object_purpose", caller.checks_objects), conditions.a1], [conditions.a1]),
	"PLACE": coarser([portions.domestic("domestic_only"), conditions.a1, conditions.a3], [conditions.a1]),
	"EVENT": whole([conditions.a3]),
}
