"""The JSON documents about users, sessions and tokens: the API builds, OpenAPI publishes, the page checks them."""

from typing import Annotated, Literal, NotRequired, TypedDict, get_args

from model.serving.prediction import DateTime

Role = Literal["reader", "reviewer", "admin"]
State = Literal["invited", "active", "disabled"]
TokenScope = Literal["read", "predict", "review", "export", "dicom"]
ROLES: tuple[Role, ...] = get_args(Role)
TOKEN_SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)
Name = Annotated[str, ("pattern", "^[a-z0-9._-]{1,64}$")]
Secret = Annotated[str, ("maxLength", 1024)]  # a password or a token, as it is sent


class NewUser(TypedDict):
    """A user to invite."""

    name: Name
    role: Role


class UserChange(TypedDict):
    """What is to be changed of a user. A user who is disabled has no session any more."""

    role: NotRequired[Role]
    disabled: NotRequired[bool]


class Link(TypedDict):
    """A link with which a user sets a password: for one use, shown once."""

    token: str
    expires: DateTime


class User(TypedDict):
    """A user. totp: a login needs a one-time code."""

    name: str
    role: Role
    state: State
    created: DateTime
    last_login: DateTime | None
    totp: bool


class InvitedUser(User):
    """A user who has to set a password, and the link for it."""

    link: Link


class Users(TypedDict):
    """All users; `damaged`: names of users whose record fails its integrity check, so that they cannot log in."""

    users: list[User]
    damaged: list[str]


class Login(TypedDict):
    """What a user logs in with; `code` is needed if the user has turned one-time codes on."""

    name: Secret
    password: Secret
    code: NotRequired[Secret]


class LinkLogin(TypedDict):
    """The first login: the token of a link, and the password to set."""

    link: Secret
    password: Secret


class SessionUser(TypedDict):
    """The user of a session."""

    name: str
    role: Role


class NewSession(TypedDict):
    """A session that began: its token, shown once, and when it ends unless it is used."""

    session: str
    user: SessionUser
    expires: DateTime


class CurrentSession(TypedDict):
    """The session of a request. totp: the user's login needs a one-time code."""

    user: SessionUser
    totp: bool
    expires: DateTime


class NewPassword(TypedDict):
    """A password, and the one that takes its place."""

    password: Secret
    new: Secret


class Password(TypedDict):
    """The password of the user who asks."""

    password: Secret


class Code(TypedDict):
    """A one-time code."""

    code: Secret


class TotpSecret(TypedDict):
    """What an authenticator app needs: the secret (base32), or the address with all of it. Shown once."""

    secret: str
    uri: str


class NewToken(TypedDict):
    """A token to make for a client program."""

    name: Name
    scopes: Annotated[list[TokenScope], ("minItems", 1)]


class Token(TypedDict):
    """A token of a client program, without its text."""

    id: str
    name: str
    scopes: list[TokenScope]
    created: DateTime


class CreatedToken(Token):
    """A new token with its text, which cannot be had again."""

    token: str


class Tokens(TypedDict):
    """All tokens; `damaged`: ids of those that fail their integrity check, which are refused."""

    tokens: list[Token]
    damaged: list[str]
