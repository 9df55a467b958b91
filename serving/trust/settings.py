"""The settings of trust: closed types, read once from TOML. Every key stands in docs/trust.md."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from serving.trust.caller import Role

#: Signatures that may be listed: a pair of keys, never a shared secret, never none.
Algorithm = Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "Ed25519"]
#: cds-hooks: a token for one call to one address. oauth2: an access token for many calls until it ends.
Kind = Literal["cds-hooks", "oauth2"]
#: Hooks that can be offered.
Hook = Literal["patient-view", "order-select", "order-sign", "encounter-start", "encounter-discharge"]

#: Paths that take many cases at once.
BATCHES = frozenset({"/predict_batch", "/outcomes"})

Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
Few = Annotated[int, Meta(ge=1, le=1_000_000)]


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who signs tokens.

    jwks_file or keys: the public keys, read from here alone. jku: addresses of keys; fetched where there are neither.
    roles: what each token of the issuer may do; subjects: what tokens with that `sub` may do beside. scopes: words of a
    token's `scope` -> role; a token with a `scope` has no more than it names.
    tenants: whose tokens are taken; empty: those without a tenant.
    calls_per_minute, burst: of all workers together; calls_at_once: under way in one worker.
    """

    issuer: Text
    kind: Kind = "cds-hooks"
    jwks_file: str = ""
    keys: tuple[dict[str, Any], ...] = ()
    jku: tuple[Text, ...] = ()
    tenants: tuple[Text, ...] = ()
    roles: tuple[Role, ...] = ()
    subjects: dict[Text, tuple[Role, ...]] = {}
    scopes: dict[Text, Role] = {}
    calls_per_minute: Few = 600
    burst: Few = 60
    calls_at_once: Few = 64

    def granted(self, subject: str) -> frozenset[str]:
        """The roles that a token of this subject can have at most."""
        return frozenset((*self.roles, *self.subjects.get(subject, ())))


class Tokens(Struct, frozen=True, forbid_unknown_fields=True):
    """What a token must be like. Lives: from `iat` to `exp`, inclusive, per kind of token.

    most_remembered: ids of tokens that are remembered at once; beyond it no call for one is taken.
    """

    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)] = ("ES384", "RS384")
    clock_skew_seconds: Annotated[int, Meta(ge=0, le=300)] = 60
    longest_life_seconds: Annotated[int, Meta(ge=1, le=300)] = 300
    longest_access_life_seconds: Seconds = 3600
    most_remembered: Annotated[int, Meta(ge=100, le=100_000_000)] = 1_000_000


class Jwks(Struct, frozen=True, forbid_unknown_fields=True):
    """How keys are fetched and kept. ca_file: PEM of the authorities to believe, beside those of the system.

    kept: age from which keys are read anew. stale: age up to which they serve where that fails. interval: between two
    tries. bytes: most that is read.
    """

    ca_file: str = ""
    timeout_seconds: Annotated[float, Meta(gt=0, le=30)] = 3.0
    interval_seconds: Seconds = 60
    kept_seconds: Seconds = 3600
    stale_seconds: Seconds = 86_400
    bytes: Annotated[int, Meta(ge=1000, le=10_000_000)] = 262_144


class Open(Struct, frozen=True, forbid_unknown_fields=True):
    """What is answered without a token. page: the page and GET /model. The probes always are."""

    page: bool = False
    discovery: bool = False
    metrics: bool = False


class Cors(Struct, frozen=True, forbid_unknown_fields=True):
    """Web pages of which origins may call, such as https://ehr.hospital.example."""

    origins: tuple[Text, ...] = ()


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a body may be. bytes: never more than the route's own limit. entries: commas and brackets, of one case;
    a batch may hold `entries_of_a_batch`.
    """

    bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 16 << 20
    depth: Annotated[int, Meta(ge=4, le=500)] = 32
    entries: Annotated[int, Meta(ge=100, le=100_000_000)] = 100_000
    entries_of_a_batch: Annotated[int, Meta(ge=100, le=100_000_000)] = 2_000_000
    seconds_to_send: Annotated[float, Meta(gt=0, le=600)] = 30.0

    def entries_on(self, path: str) -> int:
        """Most entries of a body sent to that path."""
        return self.entries_of_a_batch if path in BATCHES else self.entries


class Fhir(Struct, frozen=True, forbid_unknown_fields=True):
    """FHIR servers that may be read from with the right that a call brings along, and how answers are written.

    timeout_seconds: of all that one call reads. bytes: of one answer. pages: of one search.
    probability: in percent, as the text of FHIR R4 says, or as a fraction, as some readers expect.
    """

    servers: tuple[Text, ...] = ()
    timeout_seconds: Annotated[float, Meta(gt=0, le=20)] = 3.0
    bytes: Annotated[int, Meta(ge=1024, le=1 << 28)] = 4 << 20
    pages: Annotated[int, Meta(ge=1, le=100)] = 5
    probability: Literal["percent", "fraction"] = "percent"


class Hooks(Struct, frozen=True, forbid_unknown_fields=True):
    """What CDS Hooks offers. enabled: hooks that are listed and answered; no other address of a hook is there.

    days: how far back the prefetch asks for results, 0: not limited. seconds_to_answer: of a call of CDS Hooks or FHIR.
    """

    enabled: tuple[Hook, ...] = ("patient-view", "order-select", "order-sign", "encounter-start")
    days: Annotated[int, Meta(ge=0, le=3650)] = 0
    seconds_to_answer: Annotated[float, Meta(gt=0, le=30)] = 30.0


class Codes(Struct, frozen=True, forbid_unknown_fields=True):
    """By which codes charts are read, beside the reviewed tables. file: a centre's own list, as the imports take it."""

    file: str = ""


class Trust(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. Without an issuer nobody signs in, and the service answers this machine alone."""

    public_url: str = ""
    hsts_seconds: Annotated[int, Meta(ge=0, le=100_000_000)] = 31_536_000
    issuers: tuple[Issuer, ...] = ()
    tokens: Tokens = Tokens()
    jwks: Jwks = Jwks()
    open: Open = Open()
    cors: Cors = Cors()
    limits: Limits = Limits()
    fhir: Fhir = Fhir()
    hooks: Hooks = Hooks()
    codes: Codes = Codes()

    @property
    def development(self) -> bool:
        return not self.issuers

    @property
    def base(self) -> str:
        """The public address without a slash at its end; with a route's path it is the audience of a token."""
        return self.public_url.rstrip("/")
