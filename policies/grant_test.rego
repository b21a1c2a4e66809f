package entente_grant_test

import data.entente
import data.entente.caller
import data.entente.trees

nobody := {
	"agency": {"compartments": [], "country": "UNSPECIFIED", "level": "UNSPECIFIED", "name": "a/b", "trust_domain": "a"},
	"agreements": [],
	"authorised": false,
	"clearance": "UNSPECIFIED",
	"nationalities": [],
	"purpose": "UNSPECIFIED",
	"roles": [],
}

officer := object.union(nobody, {
	"agency": {"country": "GB", "level": "REGIONAL"},
	"agreements": [{"ceiling": "SECRET", "id": "1", "partners": ["a/c"], "purposes": ["FRAUD"]}],
	"authorised": true,
	"clearance": "TOP_SECRET",
	"nationalities": ["GB"],
	"purpose": "FRAUD",
	"roles": ["officer"],
})

# Every class but the three that the broker handles itself.
classes := {
	"HEADER", "MARKING", "REFERENCE", "SUMMARY", "TEAR_LINE", "GRADING", "INFORMATION", "PROVENANCE", "SOURCE",
	"IDENTITY", "BIOGRAPHIC", "CONTACT", "FINANCIAL", "OBJECT", "PLACE", "EVENT", "LINK", "OPERATION", "OFFICER",
	"INTERNAL",
}

test_a_caller_with_nothing_gets_a_whole_answer if {
	grant := entente.grant with input as nobody
	object.keys(grant) == {"rows", "pointers", "silent", "classes"}
	object.keys(grant.classes) == classes
	every class in grant.classes {
		object.keys(class) == {"full", "part", "pseudonym"}
	}
	trees.holds("reader_role", false) in grant.rows.all
	trees.within("clearance", "classification", []) in grant.rows.all
}

test_facts_are_false_for_a_caller_with_nothing if {
	facts := [
		caller.operational, caller.prevents_or_combats_crime, caller.investigative, caller.takes_no_direct_action,
		caller.leads_to_no_court, caller.follows_money, caller.follows_contacts, caller.checks_objects,
		caller.authorised, caller.reads_reports, caller.weighs_provenance, caller.handles_sources,
		caller.regional_or_above, caller.regional_or_national, caller.national_of_own_country,
	] with input as nobody
	not true in facts
	count(facts) == 15
}

test_facts_follow_from_the_question if {
	caller.follows_money with input as officer
	caller.authorised with input as officer
	caller.regional_or_above with input as officer
	not caller.investigative with input as officer
	not caller.leads_to_no_court with input as officer
	caller.handles_sources with input as object.union(officer, {"roles": ["source_handler"]})
	caller.investigative with input as object.union(officer, {"purpose": "THREAT_TO_LIFE"})
	caller.takes_no_direct_action with input as officer
	caller.checks_objects with input as object.union(officer, {"purpose": "BORDER_SECURITY"})
}

test_top_secret_needs_a_national if {
	caller.cleared == ["OFFICIAL", "SECRET", "TOP_SECRET"] with input as officer
	caller.cleared == ["OFFICIAL", "SECRET"] with input as object.union(officer, {"nationalities": ["FR"]})
	caller.cleared == [] with input as nobody
}

test_agreements_count_for_their_purpose_up_to_their_ceiling if {
	caller.partners == ["a/c"] with input as officer
	caller.partners_up_to("SECRET") == ["a/c"] with input as officer
	caller.partners_up_to("TOP_SECRET") == [] with input as officer
	caller.partners == [] with input as object.union(officer, {"purpose": "INVESTIGATION"})
	caller.partners == [] with input as nobody
}

test_leaves if {
	trees.where("r", "m", ["x", "y"], "x", true) == {"any": [
		{"rule": "r", "op": "subset", "attr": "m", "values": ["y"]},
		{"rule": "r", "op": "always"},
	]}
	trees.holds("r", "anything else") == {"rule": "r", "op": "never"}
	trees.intersects("r", "m", ["x"]).op == "intersects"
}
