package entente_test

import data.entente

place := {"country": "GB", "level": "LOCAL", "name": "police.example/north", "trust_domain": "police.example"}

asking := {
	"agency": place,
	"exempt": false,
	"permission": "REPORT_READ",
	"purpose": "INVESTIGATION",
	"purposes": ["INVESTIGATION"],
	"roles": ["officer"],
}

asking_with(changes) := object.union(asking, changes)

test_an_officer_reads_reports if {
	entente.method == {"allow": true, "rule": "method_permitted", "answer_classes": ["ENVELOPE"]} with input as asking
}

test_the_empty_question_is_refused if {
	entente.method == {"allow": false, "rule": "agency_placed", "answer_classes": ["ENVELOPE"]} with input as {}
}

test_each_rule_refuses_alone if {
	cases := {
		"agency_placed": {"agency": {"level": "UNSPECIFIED"}},
		"role_permits": {"roles": ["auditor"]},
		"purpose_in_token": {"purposes": ["FRAUD"]},
		"purpose_for_role": {"purpose": "AUDIT", "purposes": ["AUDIT"]},
	}
	every rule, changes in cases {
		answer := entente.method with input as asking_with(changes)
		answer == {"allow": false, "rule": rule, "answer_classes": ["ENVELOPE"]}
	}
}

test_a_permission_of_one_role_and_a_purpose_of_another_do_not_add_up if {
	answer := entente.method with input as asking_with({
		"roles": ["administrator", "auditor"],
		"permission": "AUDIT_READ",
		"purpose": "ADMINISTRATION",
		"purposes": ["ADMINISTRATION"],
	})
	answer.rule == "purpose_for_role"
}

test_an_exempt_method_needs_no_purpose_but_only_for_oneself if {
	answer := entente.method with input as asking_with({"exempt": true, "permission": "SELF", "purpose": "UNSPECIFIED"})
	answer.allow
	other := entente.method with input as asking_with({"exempt": true, "purpose": "UNSPECIFIED"})
	other.rule == "purpose_in_token"
}

test_answer_classes_follow_the_permission if {
	directory := entente.method with input as asking_with({"permission": "DIRECTORY_READ"})
	directory.answer_classes == ["ENVELOPE", "DIRECTORY"]
	audit := entente.method with input as asking_with({
		"permission": "AUDIT_READ",
		"roles": ["auditor"],
		"purpose": "AUDIT",
		"purposes": ["AUDIT"],
	})
	audit.answer_classes == ["ENVELOPE", "AUDIT"]
}
