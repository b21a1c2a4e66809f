# Condition trees over marks.
#
# Policy never sees a record. It answers with small trees that the broker evaluates over all marks at once. There is no
# negation: what no branch names is refused, so a mark that is new to these rules is refused too. Each leaf carries the
# name of its rule; of a refused `all` the first failing child is named, of a refused `any` the last branch: put the
# condition that a stranger has to meet last.
package entente.trees

all_of(children) := {"all": children}

any_of(children) := {"any": children}

everything := {"all": []}

nothing := {"any": []}

# The mark is this value.
exactly(rule, attr, value) := {"rule": rule, "op": "eq", "attr": attr, "value": value}

# The mark is one of these values.
within(rule, attr, values) := {"rule": rule, "op": "within", "attr": attr, "values": values}

# All of the mark's members are among these values.
subset(rule, attr, values) := {"rule": rule, "op": "subset", "attr": attr, "values": values}

# At least one of the mark's members is among these values.
intersects(rule, attr, values) := {"rule": rule, "op": "intersects", "attr": attr, "values": values}

# The mark's members include this value.
has(rule, attr, value) := {"rule": rule, "op": "contains", "attr": attr, "value": value}

# There is no such list at all: an empty list is something else.
absent(rule, attr) := {"rule": rule, "op": "absent", "attr": attr}

# A fact about the caller: true of every portion or of none.
holds(rule, fact) := {"rule": rule, "op": "always"} if {
	fact == true
} else := {"rule": rule, "op": "never"}

# The list without one value.
without(values, left_out) := [value | some value in values; value != left_out]

# Where a portion carries this member in this mark, the fact must hold.
where(rule, attr, known, member, fact) := any_of([
	subset(rule, attr, without(known, member)),
	holds(rule, fact),
])
