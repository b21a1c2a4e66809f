# Agreements: which of those in force count for the request, and what they carry for which portions.
package entente.agreements

import data.entente.caller
import data.entente.trees

# From all that are in force to those that count, one condition at a time: the stage that leaves none says what is
# missing.
for_purpose := [agreement |
	some agreement in input.agreements
	input.purpose in agreement.purposes
]

with_basis := [agreement |
	some agreement in for_purpose
	basis_fits(agreement)
]

counting := [agreement |
	some agreement in with_basis
	use_fits(agreement)
]

basis_fits(agreement) if count(agreement.legal_bases) == 0

basis_fits(agreement) if {
	input.legal_basis != "UNSPECIFIED"
	input.legal_basis in agreement.legal_bases
}

use_fits(agreement) if agreement.use == "EVIDENTIAL"

use_fits(agreement) if {
	agreement.use == "INTELLIGENCE_ONLY"
	caller.leads_to_no_court
}

# The originator is a partner of one of these agreements.
with_partner(rule, agreements) := trees.within(rule, "originator", names(agreements))

names(agreements) := [partner | some partner in {name |
	some agreement in agreements
	some name in agreement.partners
}]

# Those that count, by their terms: sixty bilateral agreements on one template are one entry with sixty partners.
by_terms := [{"partners": names(with_terms(terms)), "scope": object.filter(terms, scope_keys), "terms": terms} |
	some terms in {one.terms | some one in filed}
]

with_terms(terms) := [one |
	some one in filed
	one.terms == terms
]

filed := [{"partners": agreement.partners, "terms": object.filter(agreement, term_keys)} | some agreement in counting]

term_keys := ["assurances", "ceiling", "classes", "record_types"]

scope_keys := ["ceiling", "record_types"]

# Those that carry one of these transforms for the class.
carrying(class, transforms) := [entry |
	some entry in by_terms
	transform(entry.terms.classes, class) in transforms
]

transform(classes, class) := object.get(classes, class, object.get(classes, "*", "WITHHOLD"))

# Those that hold all of these assurances.
assuring(entries, assurances) := [entry |
	some entry in entries
	every assurance in assurances {
		assurance in entry.terms.assurances
	}
]

# One of these covers the portion: its originator, its classification, its type of record. Branches of an `any`.
covering(rule, entries) := [covers(rule, scope, names(within_scope(entries, scope))) |
	some scope in {entry.scope | some entry in entries}
] if {
	count(entries) > 0
} else := [trees.holds(rule, false)]

covers(rule, scope, partners) := trees.all_of([
	trees.within(rule, "originator", partners),
	trees.within(rule, "classification", caller.up_to(scope.ceiling)),
	trees.within(rule, "record_type", scope.record_types),
])

within_scope(entries, scope) := [entry |
	some entry in entries
	entry.scope == scope
]

# An agreement that counts, for the type of record, whatever its ceiling. Branches of an `any`.
touching(rule) := [branch |
	some types in {agreement.record_types | some agreement in counting}
	branch := trees.all_of([
		trees.within(rule, "originator", names([agreement | some agreement in counting; agreement.record_types == types])),
		trees.within(rule, "record_type", types),
	])
]
