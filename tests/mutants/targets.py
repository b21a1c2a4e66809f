"""Which files are given faults, and which tests must notice: the quick ones that concern them, the quickest first."""

from __future__ import annotations

_DECIDE = (
    "tests/unit/test_authorisation_edges.py",
    "tests/unit/test_decide_answers.py",
    "tests/unit/test_decide_decider.py",
    "tests/unit/test_grant_cache.py",
    "tests/unit/test_grant_keys.py",
    "tests/unit/test_claims.py",
    "tests/unit/test_decider_asked.py",
)
_RELEASE = (
    "tests/unit/test_authorisation_edges.py",
    "tests/unit/test_release_whole.py",
    "tests/unit/test_release_plans.py",
    "tests/unit/test_release_projector.py",
    "tests/unit/test_release_disclosure.py",
    "tests/unit/test_release_cache.py",
    "tests/unit/test_release_transforms.py",
    "tests/unit/test_release_canary.py",
    "tests/unit/test_release_named.py",
    "tests/unit/test_release_pseudonyms.py",
)
_STORE = (
    "tests/unit/test_store_edges.py",
    "tests/unit/test_report_search.py",
    "tests/unit/test_report_read.py",
    "tests/unit/test_store_plans.py",
)
_WRITE = (
    "tests/unit/test_authorisation_edges.py",
    "tests/unit/test_report_edges.py",
    "tests/unit/test_report_write.py",
    "tests/unit/test_report_amend.py",
    "tests/unit/test_report_reach.py",
)

PYTHON: dict[str, tuple[str, ...]] = {
    **{
        f"broker/decide/{name}.py": _DECIDE
        for name in (
            "ceiling evaluation marksets trees answers question claims granting decider cache grant_cache".split()
        )
    },
    "broker/domain/grant.py": _DECIDE,
    "broker/domain/marks.py": _WRITE,
    **{f"broker/release/{name}.py": _RELEASE for name in "plans decisions projector".split()},
    **{f"broker/store/{name}.py": _STORE for name in "fresh search counts".split()},
    **{f"broker/handle/report/{name}.py": _WRITE for name in "binding rules loading".split()},
}

POLICY = (
    "tests/policy/test_rego_edges.py",
    "tests/policy/test_cases.py",
    "tests/policy/test_naive_decision.py",
)
