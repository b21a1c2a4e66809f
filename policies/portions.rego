# Which portions the caller may see at all, and of which records it may be told that they exist.
package entente.portions

import data.entente.agreements
import data.entente.caller
import data.entente.conditions
import data.entente.trees

own := trees.exactly("own_record", "originator", input.agency.name)

domestic(rule) := trees.exactly(rule, "originator_domain", input.agency.trust_domain)

named(rule) := trees.has(rule, "releasable_to", input.agency.name)

# Open to every known agency; anything else, unmarked included, rests on an agreement.
open(rule) := trees.within(rule, "tlp", ["CLEAR", "GREEN"])

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

# The last of these is what counts; those before it say which of its conditions is missing.
covered := trees.any_of([
	open("agreement"),
	trees.all_of([
		agreements.with_partner("agreement", input.agreements),
		agreements.with_partner("agreement_purpose", agreements.for_purpose),
		agreements.with_partner("legal_basis", agreements.with_basis),
		agreements.with_partner("use_limit", agreements.counting),
		trees.any_of(agreements.covering("agreement_scope", agreements.by_terms)),
	]),
])

# Everybody else's records, if their originator let them reach as far as policy allows.
otherwise_seen := array.concat(
	[recipient, not_source_protected, red, strict, covered],
	conditions.on_portions(named("h2_named_recipients")),
)

foreign := array.concat(otherwise_seen, [reaches])

rows := trees.all_of(array.concat(house, [trees.any_of([own, trees.all_of(foreign)])]))

# That the originator holds something, and whom to ask: only where the originator chose to say so.
pointers := trees.all_of([
	trees.holds("reader_role", caller.reads_reports),
	trees.holds("operational_purpose", caller.operational),
	trees.any_of([in_its_place, instead_of_nothing]),
	trees.subset("compartment", "compartments", input.agency.compartments),
	trees.within("tlp_red", "tlp", ["UNSPECIFIED", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT"]),
	trees.any_of(array.concat(agreements.touching("agreement"), [domestic("agreement")])),
])

# By its reach, for those who would have seen it.
in_its_place := trees.all_of(array.concat(
	[trees.exactly("no_pointer", "reach", "POINTER")],
	array.concat(house, otherwise_seen),
))

# By its fallback, for those who may not see it.
instead_of_nothing := trees.all_of([
	trees.within("no_pointer", "reach", ["UNSPECIFIED", "REDACTED", "POINTER"]),
	trees.exactly("no_pointer", "fallback", "POINTER"),
])

# That somebody looked for it: told to the originator alone, where it asked for that. Whoever reads reports counts.
silent := trees.all_of([
	trees.holds("reader_role", caller.reads_reports),
	trees.holds("operational_purpose", caller.operational),
	trees.any_of([
		trees.exactly("not_silent", "reach", "SILENT"),
		trees.all_of([
			trees.within("not_silent", "reach", ["UNSPECIFIED", "REDACTED", "POINTER"]),
			trees.exactly("not_silent", "fallback", "SILENT"),
		]),
	]),
])
