package entente_grant_test

import data.entente
import data.entente.agreements
import data.entente.caller
import data.entente.classes
import data.entente.trees

nobody := {
	"agency": {"compartments": [], "country": "UNSPECIFIED", "level": "UNSPECIFIED", "name": "a/b", "trust_domain": "a"},
	"agreements": [],
	"authorised": false,
	"case_stated": false,
	"clearance": "UNSPECIFIED",
	"legal_basis": "UNSPECIFIED",
	"nationalities": [],
	"purpose": "UNSPECIFIED",
	"roles": [],
}

plain := {
	"assurances": [],
	"ceiling": "SECRET",
	"classes": {"*": "FULL"},
	"id": "1",
	"legal_bases": [],
	"partners": ["a/c"],
	"purposes": ["FRAUD"],
	"record_types": ["report"],
	"use": "EVIDENTIAL",
}

officer := object.union(nobody, {
	"agency": {"country": "GB", "level": "REGIONAL"},
	"agreements": [plain],
	"authorised": true,
	"clearance": "TOP_SECRET",
	"nationalities": ["GB"],
	"purpose": "FRAUD",
	"roles": ["officer"],
})

# Every class but the three that the broker handles itself.
every_class := {
	"HEADER", "MARKING", "REFERENCE", "SUMMARY", "TEAR_LINE", "GRADING", "INFORMATION", "PROVENANCE", "SOURCE",
	"IDENTITY", "BIOGRAPHIC", "CONTACT", "FINANCIAL", "OBJECT", "PLACE", "EVENT", "LINK", "OPERATION", "OFFICER",
	"INTERNAL",
}

test_a_caller_with_nothing_gets_a_whole_answer if {
	grant := entente.grant with input as nobody
	object.keys(grant) == {"rows", "pointers", "silent", "classes"}
	object.keys(grant.classes) == every_class
	trees.holds("reader_role", false) in grant.rows.all
	trees.within("clearance", "classification", []) in grant.rows.all
	every class in grant.classes {
		object.keys(class) == {"full", "part", "pseudonym"}
	}
}

test_facts_are_false_for_a_caller_with_nothing if {
	facts := [
		caller.operational, caller.prevents_or_combats_crime, caller.investigative, caller.takes_no_direct_action,
		caller.leads_to_no_court, caller.follows_money, caller.follows_contacts, caller.checks_objects,
		caller.authorised, caller.reads_reports, caller.weighs_provenance, caller.handles_sources,
		caller.regional_or_above, caller.regional_or_national, caller.national_of_own_country, caller.states_case,
	] with input as nobody
	not true in facts
	count(facts) == 16
}

test_facts_follow_from_the_question if {
	caller.follows_money with input as officer
	caller.authorised with input as officer
	caller.states_case with input as object.union(officer, {"case_stated": true})
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

officer_under(changes) := object.union(officer, {"agreements": [object.union(plain, changes)]})

test_an_agreement_counts_for_its_purposes_bases_and_use if {
	agreements.counting == [plain] with input as officer
	agreements.counting == [] with input as object.union(officer, {"purpose": "INVESTIGATION"})
	agreements.counting == [] with input as nobody
	agreements.counting == [] with input as officer_under({"legal_bases": ["MLAT"]})
	agreements.counting == [] with input as officer_under({"legal_bases": ["UNSPECIFIED"]})
	based := object.union(officer_under({"legal_bases": ["MLAT"]}), {"legal_basis": "MLAT"})
	count(agreements.counting) == 1 with input as based
	agreements.counting == [] with input as officer_under({"use": "INTELLIGENCE_ONLY"})
	agreements.counting == [] with input as officer_under({"use": "UNSPECIFIED"})
	saving := object.union(officer, {"purpose": "THREAT_TO_LIFE"})
	quiet := object.union(plain, {"purposes": ["THREAT_TO_LIFE"], "use": "INTELLIGENCE_ONLY"})
	count(agreements.counting) == 1 with input as object.union(saving, {"agreements": [quiet]})
}

test_an_agreement_covers_by_originator_ceiling_and_type if {
	trees.all_of([
		trees.within("r", "originator", ["a/c"]),
		trees.within("r", "classification", ["OFFICIAL", "SECRET"]),
		trees.within("r", "record_type", ["report"]),
	]) in agreements.covering("r", agreements.by_terms) with input as officer
	agreements.covering("r", agreements.by_terms) == [trees.holds("r", false)] with input as nobody
	agreements.touching("r") == [] with input as nobody
}

# Terms alike are one entry, whoever the partners are.
test_sixty_agreements_on_one_template_are_one_branch if {
	sixty := [object.union(plain, {"partners": [partner]}) |
		some n in numbers.range(1, 60)
		partner := concat("/", ["a", format_int(n, 10)])
	]
	crowd := object.union(officer, {"agreements": sixty})
	branches := agreements.covering("r", agreements.by_terms) with input as crowd
	count(branches) == 1
	count(branches[0].all[0].values) == 60
}

test_a_class_is_carried_as_it_is_named_or_as_all_others if {
	agreements.transform({"*": "FULL", "EVENT": "WITHHOLD"}, "EVENT") == "WITHHOLD"
	agreements.transform({"*": "FULL"}, "EVENT") == "FULL"
	agreements.transform({}, "EVENT") == "WITHHOLD"
	count(agreements.carrying("EVENT", ["FULL"])) == 1 with input as officer
	agreements.carrying("EVENT", ["PSEUDONYM"]) == [] with input as officer
}

test_assurances_are_all_needed if {
	entries := [{"terms": {"assurances": ["NO_TORTURE"]}}]
	agreements.assuring(entries, ["NO_TORTURE"]) == entries
	agreements.assuring(entries, ["NO_DEATH_PENALTY", "NO_TORTURE"]) == []
	agreements.assuring(entries, []) == entries
}

test_a_pseudonym_needs_a_case if {
	named := officer_under({"classes": {"IDENTITY": "PSEUDONYM"}})
	tree := classes.by_class.IDENTITY.pseudonym with input as named
	trees.holds("case_reference", false) in tree.all
	stated := classes.by_class.IDENTITY.pseudonym with input as object.union(named, {"case_stated": true})
	trees.holds("case_reference", true) in stated.all
}

test_leaves if {
	trees.where("r", "m", ["x", "y"], "x", true) == {"any": [
		{"rule": "r", "op": "subset", "attr": "m", "values": ["y"]},
		{"rule": "r", "op": "always"},
	]}
	trees.holds("r", "anything else") == {"rule": "r", "op": "never"}
	trees.intersects("r", "m", ["x"]).op == "intersects"
}
