"""Accounts and sessions: registering, logging in, staying logged in, logging out, and who I am."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response
from fastapi.security import OAuth2PasswordRequestForm
from planner_common.models import accounts, refresh_tokens
from planner_common.people import person_id
from planner_common.tokens import REFRESH_PREFIX, digest, looks_genuine, new_secret
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import begin, connect
from planner_api.dependencies import CallerDep, ConnectionDep, SettingsDep
from planner_api.errors import Problem, forbidden, problems, unauthorized
from planner_api.limits import address, limiter, login_rate
from planner_api.routing import make_router
from planner_api.schemas.accounts import Account, AccountChanges, RefreshToken, Registration, Session
from planner_api.schemas.common import normalized_email

router = make_router("accounts")

SHOWN = [accounts.c[name] for name in Account.model_fields]
SPENT = "The refresh token is not good (any more): log in again."


async def add_refresh_token(connection: AsyncConnection, account: UUID, days: int, family: UUID | None = None) -> str:
    """A new refresh token: of the given family, or the first of a new one."""
    token = new_secret(REFRESH_PREFIX)
    await connection.execute(
        insert(refresh_tokens).values(
            account_id=account,
            family_id=family or func.uuidv7(),
            token_hash=digest(token),
            expires_at=func.now() + timedelta(days=days),
        )
    )
    return token


@router.post("/auth/register", status_code=201, responses=problems(400, 403, 409, 413, 415))
@limiter.limit(login_rate, key_func=address)
async def register(body: Registration, request: Request, response: Response, settings: SettingsDep) -> Account:
    """Open an account. What its address was invited to before is in its inbox at once."""
    if settings.registration == "closed":
        raise forbidden("Registration is closed here: ask an operator for an account.")
    password_hash = await request.app.state.passwords.hash(body.password)
    values = body.model_dump(exclude={"password"}) | {
        "person_id": person_id(body.email),
        "password_hash": password_hash,
    }
    statement = postgresql.insert(accounts).values(values).on_conflict_do_nothing().returning(*SHOWN)
    async with begin(request.app.state.engine) as connection:
        row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise Problem(409, "account-exists", "There is an account already", "An account has this address: log in.")
    response.headers["Location"] = "/api/v1/me"
    return Account.model_validate(row)


@router.post("/auth/token", responses=problems(400, 401, 413, 415))
@limiter.limit(login_rate, key_func=address)
async def log_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], request: Request, settings: SettingsDep
) -> Session:
    """Log in with address and password (OAuth 2.0's password flow)."""
    state = request.app.state
    try:
        email = normalized_email(form.username)
    except ValueError:
        email = ""
    wanted = select(accounts.c.id, accounts.c.person_id, accounts.c.password_hash).where(accounts.c.email == email)
    async with connect(state.engine) as connection:
        account = (await connection.execute(wanted)).one_or_none()
    # No connection is held meanwhile: this takes long, and has to wait its turn.
    good, renewed = await state.passwords.verify(form.password, account.password_hash if account else None)
    if account is None or not good:
        raise unauthorized("The address or the password is wrong.")
    async with begin(state.engine) as connection:
        if renewed:
            await connection.execute(update(accounts).where(accounts.c.id == account.id).values(password_hash=renewed))
        refresh_token = await add_refresh_token(connection, account.id, settings.refresh_token_days)
    return Session(
        access_token=state.access_tokens.issue(account.id, account.person_id),
        expires_in=state.access_tokens.seconds,
        refresh_token=refresh_token,
    )


TOKEN = select(
    refresh_tokens.c.id,
    refresh_tokens.c.family_id,
    refresh_tokens.c.account_id,
    accounts.c.person_id,
    refresh_tokens.c.spent_at.is_not(None).label("spent"),
    (refresh_tokens.c.expires_at <= func.now()).label("expired"),
).join(accounts, accounts.c.id == refresh_tokens.c.account_id)
LOCK_FAMILY = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:family AS text), 0))")


async def end_family(connection: AsyncConnection, family: UUID) -> None:
    await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.family_id == family))


@router.post("/auth/refresh", responses=problems(400, 401, 413, 415))
@limiter.limit(login_rate, key_func=address)
async def refresh(body: RefreshToken, request: Request, connection: ConnectionDep, settings: SettingsDep) -> Session:
    """Spend a refresh token for a new pair. A spent one that comes again was stolen, from us or from the thief: nobody
    knows, so all that came of that login ends."""
    if not looks_genuine(body.refresh_token, REFRESH_PREFIX):
        raise unauthorized(SPENT)
    by_hash = TOKEN.where(refresh_tokens.c.token_hash == digest(body.refresh_token))
    found = (await connection.execute(by_hash)).one_or_none()
    if found is None:
        raise unauthorized(SPENT)
    # One at a time for a family: a token added meanwhile by another rotation would outlive its end.
    await connection.execute(LOCK_FAMILY, {"family": str(found.family_id)})
    found = (await connection.execute(by_hash)).one_or_none()
    if found is None:
        raise unauthorized(SPENT)
    if found.spent:
        await end_family(connection, found.family_id)
        await connection.commit()  # although the answer is 401
        raise unauthorized(SPENT)
    if found.expired:
        raise unauthorized(SPENT)
    await connection.execute(update(refresh_tokens).where(refresh_tokens.c.id == found.id).values(spent_at=func.now()))
    token = await add_refresh_token(connection, found.account_id, settings.refresh_token_days, found.family_id)
    access_tokens = request.app.state.access_tokens
    return Session(
        access_token=access_tokens.issue(found.account_id, found.person_id),
        expires_in=access_tokens.seconds,
        refresh_token=token,
    )


@router.post("/auth/logout", status_code=204, responses=problems(400, 413, 415))
@limiter.limit(login_rate, key_func=address)
async def log_out(body: RefreshToken, connection: ConnectionDep) -> None:
    """End what came of one login. Access tokens already given stay good until they expire."""
    found = (
        await connection.execute(TOKEN.where(refresh_tokens.c.token_hash == digest(body.refresh_token)))
    ).one_or_none()
    if found is not None:
        await connection.execute(LOCK_FAMILY, {"family": str(found.family_id)})
        await end_family(connection, found.family_id)


def account_gone() -> Problem:
    return unauthorized("The account is gone.")


@router.get("/me", responses=problems(401, 403))
async def show_me(caller: CallerDep, connection: ConnectionDep) -> Account:
    row = (await connection.execute(select(*SHOWN).where(accounts.c.id == caller.account_id))).one_or_none()
    if row is None:
        raise account_gone()
    return Account.model_validate(row)


@router.patch("/me", responses=problems(400, 401, 403, 413, 415))
async def change_me(body: AccountChanges, caller: CallerDep, connection: ConnectionDep) -> Account:
    """Change what is given; the rest stays."""
    values = body.model_dump(exclude_unset=True)
    if not values:
        return await show_me(caller, connection)
    changed = update(accounts).where(accounts.c.id == caller.account_id).values(values).returning(*SHOWN)
    row = (await connection.execute(changed)).one_or_none()
    if row is None:
        raise account_gone()
    return Account.model_validate(row)
