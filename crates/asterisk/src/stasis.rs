//! Asterisk's message bus, as far as endpoints go: who registers, who goes away.
//!
//! The callback runs on a thread of Asterisk's, one message at a time and in order. It holds a
//! queue of Asterisk's up: no I/O in it.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use asterisk_sys as sys;

use crate::endpoint::Snapshot;
use crate::guard::guard;
use crate::text;

/// A message about an endpoint, lent for the callback.
///
/// Only types that are rare: Asterisk would wake us for each call with the others.
#[non_exhaustive]
pub enum EndpointMessage<'a> {
    /// The driver says what happened: `peer_status` in `details` is `Registered`,
    /// `Unregistered`, `Reachable`, ... (`ast_endpoint_state_type`; chan_iax2 and chan_sip). Of
    /// chan_pjsip's contacts see [`sorcery`](crate::sorcery).
    Status {
        /// Whose.
        endpoint: Snapshot<'a>,
        /// What the driver adds.
        details: Details<'a>,
    },
}

/// What a driver adds to a message: a JSON object.
#[derive(Clone, Copy)]
pub struct Details<'a> {
    raw: *mut sys::ast_json,
    lent: PhantomData<&'a sys::ast_json>,
}

impl<'a> Details<'a> {
    /// The string at `key`; `None` if there is none.
    pub fn string(&self, key: &CStr) -> Option<&'a CStr> {
        if self.raw.is_null() {
            return None;
        }
        // SAFETY: the object lives for `'a` and is never changed once published; the key is
        // copied. The callee takes another kind of value than an object for one without keys.
        let value = unsafe { sys::ast_json_object_get(self.raw, key.as_ptr()) };
        if value.is_null() {
            return None;
        }
        // SAFETY: a value inside the object; null if it is no string.
        let string = unsafe { sys::ast_json_string_get(value) };
        // SAFETY: NUL-terminated, inside the value.
        (!string.is_null()).then(|| unsafe { text::borrow(string) })
    }
}

type Callback = Box<dyn Fn(EndpointMessage<'_>) + Send + Sync>;

/// Asterisk could not make a subscription: it is out of memory, or ending.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Asterisk could not make a subscription")]
pub struct SubscribeError;

/// A subscription. Dropping it ends it, and waits until the callback has returned for the last
/// time: so do not drop it in the callback, nor while you hold a lock that the callback wants.
pub struct Subscription {
    raw: NonNull<sys::stasis_subscription>,
    callback: NonNull<Callback>,
}

// SAFETY: the subscription may be ended on any thread; the callback is `Send` and `Sync`.
unsafe impl Send for Subscription {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for Subscription {}

impl Subscription {
    /// Hears of all endpoints of all drivers, from now on. Any thread may call.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`].
    pub fn to_endpoints(
        callback: impl Fn(EndpointMessage<'_>) + Send + Sync + 'static,
    ) -> Result<Self, SubscribeError> {
        let callback: Box<Callback> = Box::new(Box::new(callback));
        let callback = NonNull::from(Box::leak(callback));
        // SAFETY: exists while Asterisk runs.
        let topic = unsafe { sys::ast_endpoint_topic_all() };
        // SAFETY: a live topic, or null, which makes the callee fail. The callback lives until
        // the subscription has ended, and its data as long.
        let raw = unsafe {
            sys::__stasis_subscribe(
                topic,
                Some(receive),
                callback.as_ptr().cast(),
                c"stasis.rs".as_ptr(),
                0,
                c"".as_ptr(),
            )
        };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: leaked above; nobody else has it.
            drop(unsafe { Box::from_raw(callback.as_ptr()) });
            return Err(SubscribeError);
        };
        let subscription = Self { raw, callback };
        subscription.only_status();
        Ok(subscription)
    }

    /// Spares Asterisk from waking us for messages that we do not look at.
    fn only_status(&self) {
        let raw = self.raw.as_ptr();
        // SAFETY: a live subscription and a type that lives as long as Asterisk.
        unsafe { sys::stasis_subscription_accept_message_type(raw, status_type()) };
        // SAFETY: as above.
        unsafe {
            sys::stasis_subscription_set_filter(raw, sys::STASIS_SUBSCRIPTION_FILTER_SELECTIVE)
        };
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // SAFETY: a live subscription, ended once. When this returns the callback has returned
        // for the last time (stasis.h, `stasis_unsubscribe_and_join`).
        unsafe { sys::stasis_unsubscribe_and_join(self.raw.as_ptr()) };
        // SAFETY: leaked in `to_endpoints`; nobody calls it any more.
        drop(unsafe { Box::from_raw(self.callback.as_ptr()) });
    }
}

/// Exists while Asterisk runs.
fn status_type() -> *mut sys::stasis_message_type {
    // SAFETY: no arguments, and no side effects but a message in the log at Asterisk's end.
    unsafe { sys::ast_endpoint_state_type() }
}

unsafe extern "C" fn receive(
    data: *mut c_void,
    _subscription: *mut sys::stasis_subscription,
    message: *mut sys::stasis_message,
) {
    guard("an endpoint's message", (), || {
        // SAFETY: what `to_endpoints` gave along, alive until the subscription has ended.
        let callback: &Callback = unsafe { &*data.cast_const().cast() };
        // SAFETY: stasis lends the message for this call.
        if let Some(message) = unsafe { understand(message) } {
            callback(message);
        }
    });
}

/// `None` for messages of other types, such as stasis' own about the subscription.
///
/// # Safety
///
/// `message` lives for `'a`.
unsafe fn understand<'a>(message: *mut sys::stasis_message) -> Option<EndpointMessage<'a>> {
    // SAFETY: a live message.
    let kind = unsafe { sys::stasis_message_type(message) };
    // SAFETY: a live message.
    let data = unsafe { sys::stasis_message_data(message) };
    if kind != status_type() {
        return None;
    }
    let blob: *const sys::ast_endpoint_blob = data.cast_const().cast();
    // SAFETY: messages of this type carry a blob (stasis_endpoints.h).
    let blob = unsafe { blob.as_ref() }?;
    // SAFETY: the blob holds a reference to the snapshot.
    let endpoint = unsafe { Snapshot::lent(blob.snapshot) }?;
    let details = Details { raw: blob.blob, lent: PhantomData };
    Some(EndpointMessage::Status { endpoint, details })
}
