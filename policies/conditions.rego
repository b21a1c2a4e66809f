# Handling: what the 3x5x2 conditions and the Europol codes ask of everybody but the originator.
package entente.conditions

import data.entente.caller
import data.entente.trees

handling := ["A1", "A2", "A3", "S1", "S2"]

europol := ["H0", "H1", "H2", "H3"]

# A1: combine or corroborate, no direct action: nothing to act upon goes to purposes that act on the spot.
a1 := trees.where("a1_no_direct_action", "handling_conditions", handling, "A1", caller.takes_no_direct_action)

# A2: covert action allowed, protect the source: what could point to the source goes to investigations alone.
a2 := trees.where("a2_protect_source", "handling_conditions", handling, "A2", caller.investigative)

# A3: overt action as the originator specified: somebody must have authorised it.
a3 := trees.where("a3_authorised_action", "handling_conditions", handling, "A3", caller.authorised)

# S1: the recipient may sanitise for wider release: abroad, only what is sanitised goes.
s1(at_home) := trees.any_of([
	trees.subset("s1_sanitised_abroad", "handling_conditions", trees.without(handling, "S1")),
	at_home,
])

# S2: consult before sanitising: the broker makes no coarser form, and the tear-line comes from the originator.
s2 := trees.where("s2_consult_originator", "handling_conditions", handling, "S2", false)

# H1: not in judicial proceedings: how it came to be known does not go to purposes that end in court.
h1 := trees.where("h1_no_judicial_use", "europol_handling", europol, "H1", caller.leads_to_no_court)

# What handling asks of a portion before anything of it is seen. `named`: the caller's agency is a named recipient.
on_portions(named) := [
	trees.within("handling_stated", "handling_code", ["P", "C"]),
	trees.subset("handling_stated", "handling_conditions", handling),
	trees.subset("handling_stated", "europol_handling", europol),
	trees.where("h0_crime_only", "europol_handling", europol, "H0", caller.prevents_or_combats_crime),
	trees.any_of([trees.subset("h2_named_recipients", "europol_handling", trees.without(europol, "H2")), named]),
	trees.where("h3_authorised_use", "europol_handling", europol, "H3", caller.authorised),
]
