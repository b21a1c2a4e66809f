# May this caller call a method that needs `input.permission`, for `input.purpose`?
#
# Total: always one object. Allowed only when nothing refuses and a role grants it.
package entente

method := {
	"allow": method_allowed,
	"rule": method_rule,
	"answer_classes": answer_classes,
}

default method_allowed := false

method_allowed if {
	agency_placed
	role_permits
	purpose_in_token
	purpose_for_role
}

# The first rule that refuses, in this order.
method_rule := "agency_placed" if {
	not agency_placed
} else := "role_permits" if {
	not role_permits
} else := "purpose_in_token" if {
	not purpose_in_token
} else := "purpose_for_role" if {
	not purpose_for_role
} else := "method_permitted"

default agency_placed := false

agency_placed if input.agency.level in ["LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL"]

default role_permits := false

role_permits if {
	some role in input.roles
	input.permission in data.policy.roles[role].permissions
}

# A method that reveals nothing about anyone but the caller needs no purpose.
default exempt := false

exempt if {
	input.exempt == true
	input.permission == "SELF"
	input.purpose == "UNSPECIFIED"
}

default purpose_in_token := false

purpose_in_token if exempt

purpose_in_token if input.purpose in input.purposes

# One role must both permit the method and serve the purpose.
default purpose_for_role := false

purpose_for_role if exempt

purpose_for_role if {
	some role in input.roles
	input.permission in data.policy.roles[role].permissions
	input.purpose in data.policy.roles[role].purposes
}

# Classes of the unmarked parts of an answer.
answer_classes := array.concat(["ENVELOPE"], [class |
	method_allowed
	class := answer_class[input.permission]
])

answer_class := {
	"DIRECTORY_READ": "DIRECTORY",
	"AUDIT_READ": "AUDIT",
	"REGISTRY_READ": "DIRECTORY",
	"REGISTRY_WRITE": "DIRECTORY",
	"REVOKE": "DIRECTORY",
}
