# Which portions the caller may see at all, and of which records it may be told that they exist.
package entente.portions

import data.entente.caller
import data.entente.conditions
import data.entente.trees

own := trees.eq("own_record", "originator", input.agency.name)

domestic(rule) := trees.eq(rule, "originator_domain", input.agency.trust_domain)

named(rule) := trees.has(rule, "releasable_to", input.agency.name)

# An agreement with the originator, for this purpose, whose ceiling covers the portion's classification.
agreement(rule) := trees.any_of([branch |
	some level in ["OFFICIAL", "SECRET", "TOP_SECRET"]
	branch := trees.all_of([
		trees.eq(rule, "classification", level),
		trees.within(rule, "originator", caller.partners_up_to(level)),
	])
])

# These bind everybody, the originator's own officers too.
house := [
	trees.holds("reader_role", caller.reads_reports),
	trees.holds("operational_purpose", caller.operational),
	trees.within("clearance", "classification", caller.cleared),
	trees.subset("compartment", "compartments", input.agency.compartments),
]

recipient := trees.any_of([trees.absent("recipient", "releasable_to"), named("recipient")])

not_source_protected := trees.within("source_protected", "sanitisation", ["UNSPECIFIED", "SANITISED", "TEAR_LINE"])

red := trees.any_of([
	trees.within("tlp_red", "tlp", ["UNSPECIFIED", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT"]),
	named("tlp_red"),
])

strict := trees.any_of([
	trees.within("tlp_amber_strict", "tlp", ["UNSPECIFIED", "CLEAR", "GREEN", "AMBER", "RED"]),
	domestic("tlp_amber_strict"),
])

reaches := trees.within("reach", "reach", ["UNSPECIFIED", "REDACTED"])

# CLEAR and GREEN are open to every known agency; anything else, unmarked included, rests on an agreement.
covered := trees.any_of([
	trees.within("agreement", "tlp", ["CLEAR", "GREEN"]),
	agreement("agreement"),
])

# Everybody else's records.
foreign := array.concat(
	[recipient, not_source_protected, reaches, red, strict, covered],
	conditions.on_portions(named("h2_named_recipients")),
)

rows := trees.all_of(array.concat(house, [trees.any_of([own, trees.all_of(foreign)])]))

# That the originator holds something, and whom to ask: only where the originator chose to say so.
pointers := trees.all_of([
	trees.holds("reader_role", caller.reads_reports),
	trees.holds("operational_purpose", caller.operational),
	trees.any_of([
		trees.eq("no_pointer", "reach", "POINTER"),
		trees.all_of([reaches, trees.eq("no_pointer", "fallback", "POINTER")]),
	]),
	trees.subset("compartment", "compartments", input.agency.compartments),
	trees.within("tlp_red", "tlp", ["UNSPECIFIED", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT"]),
	trees.any_of([domestic("agreement"), trees.within("agreement", "originator", caller.partners)]),
])

# That somebody looked for it: told to the originator alone, where it asked for that. Whoever reads reports counts.
silent := trees.all_of([
	trees.holds("reader_role", caller.reads_reports),
	trees.holds("operational_purpose", caller.operational),
	trees.any_of([
		trees.eq("not_silent", "reach", "SILENT"),
		trees.all_of([
			trees.within("not_silent", "reach", ["UNSPECIFIED", "REDACTED", "POINTER"]),
			trees.eq("not_silent", "fallback", "SILENT"),
		]),
	]),
])
