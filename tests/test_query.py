"""The language of the search box: what it reads, what it refuses in words, and what it finds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servers import facets, finding
from servers.finding import Reach
from servers.models import Server
from servers.query import AGENTS, KEYS, STATES, Query, QueryError, Term, parse
from tests.conftest import People
from tests.factories import AccountFactory, EndpointFactory, ServerFactory

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(str.strip).filter(bool)


def values(key: str) -> st.SearchStrategy[str]:
    if KEYS.get(key):
        return st.sampled_from([*KEYS[key]])
    return st.from_regex(r"[0-9a-f.:]{1,20}", fullmatch=True) if key == "ip" else TEXT


def of_key(key: str) -> st.SearchStrategy[Term]:
    several = st.lists(values(key), min_size=1, max_size=3 if key else 1, unique=True).map(tuple)
    return st.builds(Term, st.just(key), several, st.booleans())


def distinct(terms: list[Term]) -> Query:
    """The same key twice would be read as one term."""
    kept: dict[object, Term] = {}
    for at, term in enumerate(terms):
        kept.setdefault((term.key, term.negated) if term.key else at, term)
    return Query(tuple(kept.values()))


QUERIES = st.lists(st.sampled_from(["", "", *KEYS]).flatmap(of_key), max_size=6).map(distinct)


@given(QUERIES)
def test_a_query_written_back_reads_as_the_same_query(query: Query) -> None:
    assert parse(str(query)) == query


@given(st.text(max_size=80) | st.text(alphabet='abstate:-",\\ 10.:', max_size=30))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as refusal:
        assert refusal.words[0] in '"ABCDEFGHIJKLMNOPQRSTUVWXYZ' and refusal.words[-1] in ".:"
        assert "!" not in refusal.words.replace(text, "")
    else:
        assert parse(str(query)) == query


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour:red", 'There is no key "colour:". The keys are state, agent, account'),
        ("state:runing", '"state:runing" is not known. Write one of running, stopped'),
        ("state:", 'Write something after "state:", such as state:running.'),
        ('"two words', "A quote is opened and not closed."),
        ("-", 'Write what to leave out right after the "-"'),
        ("ip:web", '"web" is not the start of an address.'),
        ('we"b', "A quote stands in the middle of a word."),
        ("x" * 501, "This query is too long."),
        ("a\0b", "a character that cannot be searched for"),
        (" ".join("abcdefghijklmnopqrstuvwxyzabcdefgh"), "asks for too much at once"),
    ],
)
def test_a_wrong_query_says_what_is_wrong_and_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(QueryError) as refusal:
        parse(text)
    assert words in refusal.value.words


def test_keys_are_read_in_any_case_and_a_key_again_is_one_more_alternative() -> None:
    assert parse("State:RUNNING state:stopped,running") == Query((Term("state", ("running", "stopped")),))


def test_an_address_with_colons_is_a_word_and_not_a_key() -> None:
    assert parse("fe80::1 dead:beef::").terms == (Term("", ("fe80::1",)), Term("", ("dead:beef::",)))


def test_a_facet_is_put_in_and_taken_out_again() -> None:
    query = parse("web -state:failed")
    both = query.toggled("state", "running").toggled("state", "stopped")
    assert str(both) == "web -state:failed state:running,stopped"
    assert both.toggled("state", "running").toggled("state", "stopped") == query


@pytest.fixture
def reach(people: People) -> Reach:
    """Six servers in two accounts of one customer, and one of somebody else."""
    endpoint = EndpointFactory(provider=people.customer.provider, slug="lab", platform="cloudstack")
    main, lab = people.account, AccountFactory(customer=people.customer, name="Essex lab", endpoint=endpoint)
    for account, name, state, ip, more in [
        (main, "web-1", "running", "10.0.0.5", {"size": "m1.small", "image": "Debian 12"}),
        (main, "web-2", "stopped", "10.0.0.50", {"size": "m1.large", "image": "Debian 12"}),
        (main, "db_100%", "running", "10.0.1.5", {"size": "m1.large", "region": "north"}),
        (lab, "mail", "failed", "2001:db8::25", {}),
        (lab, "web-old", "stopped", "192.0.2.7", {"external_id": "i-7"}),
        (lab, "spare", "unknown", "", {}),
    ]:
        ServerFactory(account=account, name=name, state=state, ips=[ip] if ip else [], **more)
    Server.objects.filter(name="web-old").update(missing_since="2026-01-01T00:00Z")
    ServerFactory(name="web-foreign", ips=["10.0.0.9"])
    return Reach([people.customer.pk], [main, lab])


def found(reach: Reach, text: str) -> list[str]:
    return [row.name for row in finding.page(reach, parse(text)).rows]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["db_100%", "mail", "spare", "web-1", "web-2", "web-old"]),
        ("WEB", ["web-1", "web-2", "web-old"]),
        ("web -state:stopped", ["web-1"]),
        ("100%", ["db_100%"]),
        ("state:running,failed", ["db_100%", "mail", "web-1"]),
        ("i-7", ["web-old"]),
        ("id:i-7", ["web-old"]),
        ("id:I-7", []),
        ("m1.large", ["db_100%", "web-2"]),
        ("debian 2", ["web-1", "web-2"]),
        ("size:large image:debian", ["web-2"]),
        ("region:NORTH", ["db_100%"]),
        ("ip:10.0.0.", ["web-1", "web-2"]),
        ("10.0.0.5", ["web-1"]),
        ("ip:10.0.0.5", ["web-1"]),
        ("ip:10.0.0.5,192.", ["web-1", "web-old"]),
        ("ip:2001:DB8:0:0::25", ["mail"]),
        ("2001:db8", ["mail"]),
        ("2001:db8:", ["mail"]),
        ("-ip:10.0.", ["mail", "spare", "web-old"]),
        ('account:"Essex lab"', ["mail", "spare", "web-old"]),
        ("account:essex -name:spare", ["mail", "web-old"]),
        ("platform:cloudstack state:failed", ["mail"]),
        ("listed:no", ["web-old"]),
        ("agent:missing mail", ["mail"]),
        ("agent:managed", []),
    ],
)
def test_a_query_finds(reach: Reach, text: str, names: list[str]) -> None:
    assert found(reach, text) == names


def test_an_account_that_is_not_there_is_answered_with_those_that_are(reach: Reach) -> None:
    with pytest.raises(QueryError, match='No account is called "nowhere". There are: Main account, Essex lab.'):
        found(reach, "account:nowhere")


def test_counts_beside_a_facet_are_what_a_click_on_it_would_find(reach: Reach) -> None:
    counts = facets.count(reach, parse("state:running account:main"))
    assert (counts.total, counts.more) == (2, False)
    assert counts.facets is not None
    assert counts.facets["state"] == {"running": 2, "stopped": 1}
    assert sum(counts.facets["account"].values()) == 2
    assert counts.facets["agent"] == {"missing": 2}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.sets(st.sampled_from(STATES)),
    agents=st.sets(st.sampled_from(AGENTS)),
    negated=st.booleans(),
    word=st.sampled_from(["", "web"]),
)
def test_the_total_is_the_number_of_rows(
    reach: Reach, states: set[str], agents: set[str], negated: bool, word: str
) -> None:
    terms = [Term("", (word,))] if word else []
    terms += [Term("state", tuple(sorted(states)), negated)] if states else []
    terms += [Term("agent", tuple(sorted(agents)))] if agents else []
    query = Query(tuple(terms))
    assert facets.count(reach, query).total == len(finding.page(reach, query).rows)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERIES)
def test_no_query_breaks_the_database(reach: Reach, query: Query) -> None:
    try:
        finding.page(reach, query)
        facets.count(reach, query)
    except QueryError as refusal:
        assert refusal.words.startswith("No account is called")
