use std::{sync::Arc, time::Duration};
use crate::{AppUniversal, shared::Shared};
pub(crate) const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);
pub(crate) struct Drivers;
impl Drivers { pub(crate) fn watch(_s: &Arc<Shared>) -> Self { Self } }
pub(crate) fn report_all(_s: &Shared) {}
pub(crate) fn sync(_s: &Shared) {}
pub(crate) fn pjsip_state(_m: &AppUniversal) -> &'static str { "" }
