//! What users change of themselves: the password, and one-time codes (TOTP, RFC 6238).

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Secret, Totp};

use super::body::Body;
use super::login::{hashing, is_right_password};
use super::problem::{Problem, Words};
use crate::db::{self, NotChanged};
use crate::hub::{Hub, lock, now_ms};
use crate::who::{Oneself, Who};

/// A change of the password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    old: String,
    new: String,
}

/// A code.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    /// What the authenticator shows for the secret that was offered last.
    code: String,
}

/// The password, once more.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Password {
    password: String,
}

/// A secret for an authenticator; it counts once a code of it was shown.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Offer {
    /// Base32.
    secret: String,
    /// `otpauth://…`
    uri: String,
    /// The same as a picture (SVG), for the authenticator's camera.
    qr_svg: String,
}

/// Change the password. All other sessions of the user end.
#[utoipa::path(post, path = "/api/password", tag = "account", request_body = NewPassword,
    responses((status = 204), (status = 403, body = Words), (status = 422, body = Words),
        (status = 429, body = Words)))]
pub(super) async fn password(
    State(hub): State<Arc<Hub>>,
    Oneself { who, session }: Oneself,
    Body(change): Body<NewPassword>,
) -> Result<StatusCode, Problem> {
    confirm(&hub, &who, change.old).await?;
    let hash = hashing(&hub, move || password::hash(&change.new)).await?;
    let hash = hash.map_err(|error| Problem::invalid(error.to_string(), "choose another"))?;
    let name = who.name.clone();
    let set = hub.change(who.entry("password", who.name.clone()), move |db, _| {
        db::users::set_password(db, &name, &hash, Some(&session.hash))
    });
    set.await?.map_err(gone)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The user was removed meanwhile, and with it the session.
fn gone(_: NotChanged) -> Problem {
    Problem::nobody()
}

/// Whoever sits at a browser that was left open does not know it.
async fn confirm(hub: &Hub, who: &Who, shown: String) -> Result<(), Problem> {
    if let Some(wait) = lock(&hub.throttle).begin(Instant::now(), &who.name, who.address) {
        return Err(Problem::throttled(wait));
    }
    let is_right = is_right(hub, who, shown).await;
    let mut throttle = lock(&hub.throttle);
    match is_right {
        Ok(true) => throttle.right(&who.name, who.address),
        Ok(false) => return Err(Problem::new(StatusCode::FORBIDDEN, "the password is wrong", "")),
        Err(_) => throttle.incomplete(&who.name, who.address),
    }
    is_right.map(drop)
}

async fn is_right(hub: &Hub, who: &Who, shown: String) -> Result<bool, Problem> {
    let name = who.name.clone();
    let known = hub.db.run(move |db| db::users::credentials(db, &name)).await?;
    let hash = known.map(|known| known.password);
    is_right_password(hub, shown, hash).await
}

/// Get a secret for one-time codes.
#[utoipa::path(post, path = "/api/totp", tag = "account", request_body = Password,
    responses((status = 200, body = Offer), (status = 403, body = Words),
        (status = 409, body = Words), (status = 429, body = Words)))]
pub(super) async fn begin_totp(
    State(hub): State<Arc<Hub>>,
    Oneself { who, .. }: Oneself,
    Body(shown): Body<Password>,
) -> Result<Json<Offer>, Problem> {
    // Else whoever sits at a browser that was left open would keep the user out for good.
    confirm(&hub, &who, shown.password).await?;
    let name = who.name.clone();
    let known = hub.db.run(move |db| db::users::credentials(db, &name)).await?;
    if known.is_some_and(|known| known.totp.is_some()) {
        return Err(has_codes());
    }
    let mut bytes = [0; 20];
    let no_random = |_| {
        let error = "the system gives no random numbers";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, "try again")
    };
    getrandom::fill(&mut bytes).map_err(no_random)?;
    let totp = codes(Secret::from(bytes.to_vec()), &who.name)?;
    let uri = totp.to_url().map_err(|error| Problem::invalid(error.to_string(), ""))?;
    let picture = QrCode::new(&uri).map_err(|error| Problem::invalid(error.to_string(), ""))?;
    let qr_svg = picture.render::<svg::Color<'_>>().build();
    let secret = Secret::from(bytes.to_vec()).to_base32();
    lock(&hub.offered).insert(who.name, secret.clone());
    Ok(Json(Offer { secret, uri, qr_svg }))
}

fn has_codes() -> Problem {
    Problem::conflict("codes are asked for already", "turn them off first, with the password")
}

/// Have codes asked for from now on.
#[utoipa::path(post, path = "/api/totp/confirm", tag = "account", request_body = Code,
    responses((status = 204), (status = 409, body = Words), (status = 422, body = Words)))]
pub(super) async fn confirm_totp(
    State(hub): State<Arc<Hub>>,
    Oneself { who, .. }: Oneself,
    Body(code): Body<Code>,
) -> Result<StatusCode, Problem> {
    let offered = lock(&hub.offered).get(&who.name).cloned();
    let kept = offered.ok_or_else(|| Problem::invalid("no secret was offered", "begin anew"))?;
    let totp = codes(secret(&kept)?, &who.name)?;
    let step = totp.check_current(code.code.trim()).ok_or_else(|| {
        let cure = "check the clocks of this machine and of the authenticator";
        Problem::invalid("that is not the code of now", cure)
    })?;
    let name = who.name.clone();
    let set = hub.change(who.entry("totp on", who.name.clone()), move |db, _| {
        let known = db::users::credentials(db, &name)?;
        if known.is_some_and(|known| known.totp.is_some()) {
            return Ok(Err(has_codes()));
        }
        let set = db::users::set_totp(db, &name, Some(&kept))?;
        db::users::use_totp(db, &name, i64::try_from(step).unwrap_or(i64::MAX))?;
        Ok(set.map_err(gone))
    });
    set.await??;
    lock(&hub.offered).remove(&who.name);
    Ok(StatusCode::NO_CONTENT)
}

/// Have no codes asked for any more.
#[utoipa::path(post, path = "/api/totp/end", tag = "account", request_body = Password,
    responses((status = 204), (status = 403, body = Words), (status = 429, body = Words)))]
pub(super) async fn end_totp(
    State(hub): State<Arc<Hub>>,
    Oneself { who, .. }: Oneself,
    Body(shown): Body<Password>,
) -> Result<StatusCode, Problem> {
    confirm(&hub, &who, shown.password).await?;
    let name = who.name.clone();
    let entry = who.entry("totp off", who.name.clone());
    hub.change(entry, move |db, _| db::users::set_totp(db, &name, None)).await?.map_err(gone)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a code, which is good once; says whether it is.
pub(super) async fn use_code(
    hub: &Hub,
    user: &str,
    kept: &str,
    code: &str,
) -> Result<bool, Problem> {
    let Some(step) = codes(secret(kept)?, user)?.check(code.trim(), seconds()) else {
        return Ok(false);
    };
    let (name, step) = (user.to_owned(), i64::try_from(step).unwrap_or(i64::MAX));
    Ok(hub.db.run(move |db| db::users::use_totp(db, &name, step)).await?)
}

fn seconds() -> u64 {
    u64::try_from(now_ms() / 1000).unwrap_or_default()
}

fn secret(base32: &str) -> Result<Secret, Problem> {
    Secret::try_from_base32(base32)
        .map_err(|_| Problem::invalid("the secret is damaged", "begin anew with /api/totp"))
}

fn codes(secret: Secret, user: &str) -> Result<Totp, Problem> {
    // A colon would end the name within the address.
    let account = user.replace(':', "_");
    let builder = Builder::new().with_secret(secret).with_account_name(account);
    builder
        .with_issuer(Some("Tandem"))
        .build()
        .map_err(|error| Problem::invalid(error.to_string(), "begin anew with /api/totp"))
}
