"""What an OpenID Connect server says of itself (OpenID Connect Discovery 1.0), and the keys that sign for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import requests

from console.lib.faults import Unexpected
from console.lib.outbound import Session, Transport, origin

# Asymmetric ones only: with a shared secret whoever knows the client's secret could sign for anybody.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
WELL_KNOWN: Final = "/.well-known/openid-configuration"
LEEWAY: Final = 60  # seconds that two clocks may differ
LONGEST: Final = 500  # characters of an address


@dataclass(frozen=True)
class Discovery:
    """Addresses of one server. Secrets, codes and tokens go to those at the issuer's host alone."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str  # empty: none, or at another host
    basic: bool  # the client's secret goes by HTTP Basic


def read(transport: Transport, issuer: str) -> Discovery:
    """Ask `issuer` (a URL) for its document, and check that it fits us.

    Raises the transport's faults, and Unexpected in words for what does not fit: another issuer, endpoints at another
    host, no PKCE, no signature that we take.
    """
    if "?" in issuer or "#" in issuer or len(issuer) > 300:
        raise Unexpected("Write the issuer as its address, such as https://login.example.com, without query.")
    with transport.session(issuer) as session:
        told = an_object(session.get(issuer.rstrip("/") + WELL_KNOWN), "its description")
    named = told.get("issuer")
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        raise Unexpected(f"The server at {issuer} says that its issuer is {str(named)[:200]}. Register that one.")
    _check_kinds(told)
    userinfo = told.get("userinfo_endpoint")
    methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]  # the standard's default
    return Discovery(
        issuer=named,
        authorization_endpoint=_address(told, "authorization_endpoint", transport),
        token_endpoint=_at_home(told, "token_endpoint", issuer, transport),
        jwks_uri=_at_home(told, "jwks_uri", issuer, transport),
        userinfo_endpoint=userinfo if isinstance(userinfo, str) and _same_host(userinfo, issuer) else "",
        basic="client_secret_post" not in methods,
    )


def verified(session: Session, found: Discovery, token: str, client_id: str) -> dict[str, Any]:
    """The claims of an ID token, its signature checked by the server's keys, and issuer, audience and times too
    (OpenID Connect Core 1.0, 3.1.3.7). `nonce` is the caller's to compare.

    Raises jwt.PyJWTError for one that does not pass, and faults when the keys cannot be read.
    """
    keys = an_object(session.get(found.jwks_uri), "its keys").get("keys")
    header = jwt.get_unverified_header(token)
    if header.get("alg") not in ALGORITHMS:
        raise jwt.InvalidAlgorithmError(f"signed by {header.get('alg')}")
    claims: dict[str, Any] = jwt.decode(
        token,
        _key(keys if isinstance(keys, list) else [], header.get("kid"), str(header["alg"])),
        algorithms=[str(header["alg"])],
        audience=client_id,
        issuer=found.issuer,
        leeway=LEEWAY,
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )
    if claims.get("azp", client_id) != client_id:
        raise jwt.InvalidAudienceError("issued to another client")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise jwt.InvalidTokenError("it names nobody")
    return claims


def signing_keys(session: Session, found: Discovery) -> int:
    """How many of the server's keys can sign for it, as far as we know their kinds. Raises faults."""
    keys = an_object(session.get(found.jwks_uri), "its keys").get("keys")
    return sum(_fits(told) for told in keys) if isinstance(keys, list) else 0


def an_object(response: requests.Response, what: str) -> dict[str, Any]:
    """A reply's JSON object. Unexpected for anything else."""
    if response.status_code != 200:
        raise Unexpected(f"The identity server answered {response.status_code} when asked for {what}.")
    try:
        told = response.json()
    except (ValueError, RecursionError) as error:
        raise Unexpected(f"The identity server answered with no JSON when asked for {what}.") from error
    if not isinstance(told, dict):
        raise Unexpected(f"The identity server answered with no JSON object when asked for {what}.")
    return told


def _key(keys: list[Any], kid: Any, algorithm: str) -> Any:
    """The key that the token names; without a name the only one of that kind."""
    fitting = []
    for told in keys:
        if not isinstance(told, Mapping) or told.get("use", "sig") != "sig" or told.get("alg", algorithm) != algorithm:
            continue
        if kid is not None and told.get("kid") != kid:
            continue
        try:
            fitting.append(jwt.PyJWK(dict(told), algorithm).key)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # a key of a kind that does not fit this signature
    if len(fitting) != 1:
        raise jwt.InvalidKeyError("no key of the server fits this signature")
    return fitting[0]


def _fits(told: Any) -> bool:
    if not isinstance(told, Mapping) or told.get("use", "sig") != "sig":
        return False
    try:
        return jwt.PyJWK(dict(told)).algorithm_name in ALGORITHMS
    except (jwt.PyJWTError, ValueError, TypeError):
        return False  # of a kind that we do not know


def _check_kinds(told: Mapping[str, Any]) -> None:
    signed = told.get("id_token_signing_alg_values_supported")
    if isinstance(signed, list) and not set(map(str, signed)) & set(ALGORITHMS):
        raise Unexpected(f"The server signs by {', '.join(map(str, signed))[:100]}. Let it sign by RS256 or ES256.")
    challenges = told.get("code_challenge_methods_supported")
    if isinstance(challenges, list) and "S256" not in challenges:
        raise Unexpected("The server takes no PKCE by S256. Turn that on for this client.")


def _address(told: Mapping[str, Any], name: str, transport: Transport) -> str:
    url = told.get(name)
    if not isinstance(url, str) or len(url) > LONGEST or not url.isprintable():
        raise Unexpected(f"The server names no {name}.")
    scheme, _, _ = origin(url)
    if scheme != "https" and not transport.allow_http:
        raise Unexpected(f"The {name} of the server is not encrypted. Use an HTTPS address.")
    return url


def _at_home(told: Mapping[str, Any], name: str, issuer: str, transport: Transport) -> str:
    url = _address(told, name, transport)
    if not _same_host(url, issuer):
        _, host, _ = origin(url)
        raise Unexpected(f"The {name} is at {host}. Codes and secrets go to the registered host only.")
    return url


def _same_host(url: str, issuer: str) -> bool:
    return origin(url)[1] == origin(issuer)[1]
