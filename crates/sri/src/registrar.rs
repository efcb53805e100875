//! The table of what is registered here, and the queues of what is due.
//!
//! Events change the table; `poll` takes from the queues. What a record wants and why is in
//! `record`, the times are in `lease`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::record::Record;
use crate::rules::{Rules, Unpublishable};
use crate::source::{RecordId, Source, SourceId, latest};
use crate::view::PeerView;
use crate::{Claim, How, Outcome};

/// The phones registered on this node, and what the cache servers must be told. See the crate.
#[derive(Debug, Default)]
pub struct Registrar {
    rules: Vec<Rules>,
    /// By driver in lower case, then by endpoint.
    drivers: BTreeMap<String, BTreeMap<String, SourceId>>,
    sources: BTreeMap<SourceId, Source>,
    records: BTreeMap<RecordId, Record>,
    keys: BTreeMap<Vec<u8>, RecordId>,
    /// Records that wait for a claim. Those with a claim under way are not here.
    due: BTreeSet<(Instant, RecordId)>,
    /// Phones with a contact that ends.
    expiries: BTreeSet<(Instant, SourceId)>,
    in_flight: BTreeMap<u64, RecordId>,
    last_id: u64,
    examined: u64,
}

impl Registrar {
    /// An empty table under the given sections.
    pub fn new(rules: Vec<Rules>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// The configuration was read again.
    ///
    /// Records of a section that vanished, or whose prefix or identity changed, are withdrawn as
    /// they were written; everything else is kept, and said again at once. Who stood back stands
    /// back still.
    pub fn set_rules(&mut self, now: Instant, rules: Vec<Rules>) {
        self.rules = rules;
        for source in self.sources.values_mut() {
            source.records.clear();
        }
        for record in self.records.values_mut() {
            if let Some(source) = record.sources.first().and_then(|(_, id)| self.sources.get(id)) {
                record.last_source = (source.driver.clone(), source.endpoint.clone());
            }
            record.sources.clear();
        }
        let sources: Vec<_> = self.sources.keys().copied().collect();
        for id in sources {
            self.attach(now, id);
        }
        let records: Vec<_> = self.records.keys().copied().collect();
        for id in records {
            let Some(record) = self.records.get_mut(&id) else { continue };
            match record.sources.first() {
                Some(&(section, _)) => {
                    let rules = &self.rules[section];
                    record.reload(now, &rules.identity, rules.whole_lease());
                    self.enqueue(id);
                }
                None => self.let_go(now, id),
            }
        }
    }

    /// A phone is registered here with this contact, until `expires` (`None`: until it is said that
    /// it is gone).
    pub fn registered(
        &mut self,
        now: Instant,
        driver: &str,
        endpoint: &str,
        contact: &str,
        expires: Option<Instant>,
        how: How,
    ) {
        let id = self.source(now, driver, endpoint);
        let Some(source) = self.sources.get_mut(&id) else { return };
        source.note(now, contact, expires);
        let records: Vec<_> = source.records.iter().filter_map(|(_, r)| r.ok()).collect();
        self.enqueue_expiry(id);
        for id in records {
            let Some(record) = self.records.get_mut(&id) else { continue };
            let Some(&(section, _)) = record.sources.first() else { continue };
            match how {
                How::Register => record.take(now, &self.rules[section].identity),
                How::Restored => record.restore(now, &self.rules[section].identity),
            }
            self.enqueue(id);
        }
    }

    /// One contact of a phone was removed.
    pub fn unregistered(&mut self, now: Instant, driver: &str, endpoint: &str, contact: &str) {
        let Some(id) = self.find(driver, endpoint) else { return };
        if let Some(source) = self.sources.get_mut(&id) {
            source.contacts.remove(contact);
        }
        self.after_removal(now, id);
    }

    /// All contacts of a phone were removed, or the phone itself.
    pub fn gone(&mut self, now: Instant, driver: &str, endpoint: &str) {
        let Some(id) = self.find(driver, endpoint) else { return };
        if let Some(source) = self.sources.get_mut(&id) {
            source.contacts.clear();
        }
        self.after_removal(now, id);
    }

    /// Makes the table equal to what the driver says is registered: adds as [`How::Restored`] what
    /// was missing, takes over the times, removes what is no longer there.
    ///
    /// `now` is when the driver was asked: contacts of which it spoke later are left alone.
    pub fn sync<E: AsRef<str>, C: AsRef<str>>(
        &mut self,
        now: Instant,
        driver: &str,
        registered: impl IntoIterator<Item = (E, C, Option<Instant>)>,
    ) {
        let mut present: BTreeMap<SourceId, BTreeSet<String>> = BTreeMap::new();
        for (endpoint, contact, expires) in registered {
            let (endpoint, contact) = (endpoint.as_ref(), contact.as_ref());
            let newer = self.find(driver, endpoint).is_some_and(|id| {
                let known = self.sources[&id].contacts.get(contact);
                known.is_some_and(|c| c.seen > now)
            });
            if !newer {
                self.registered(now, driver, endpoint, contact, expires, How::Restored);
            }
            let id = self.source(now, driver, endpoint);
            present.entry(id).or_default().insert(contact.to_owned());
        }
        let of_driver = self.drivers.get(&driver.to_ascii_lowercase());
        let ids: Vec<_> = of_driver.into_iter().flat_map(|d| d.values().copied()).collect();
        for id in ids {
            let Some(source) = self.sources.get_mut(&id) else { continue };
            let here = present.get(&id);
            source
                .contacts
                .retain(|name, c| c.seen > now || here.is_some_and(|set| set.contains(name)));
            self.after_removal(now, id);
        }
    }

    /// A cache server lost its content or came back (or somebody asked for it): keeps every record
    /// whose key `which` accepts and that is not stood back, and delivers at once what waited.
    ///
    /// A REGISTER that other nodes may not know of yet goes now; what they had time to see goes one
    /// [`crate::YIELD_STEP`] later, and what was restored and never confirmed two: so a node that a
    /// phone has just left does not fill the gap first.
    pub fn republish(&mut self, now: Instant, which: impl Fn(&[u8]) -> bool) {
        let ids: Vec<_> =
            self.records.iter().filter(|(_, r)| which(&r.key)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(record) = self.records.get_mut(&id) {
                record.republish(now);
                self.enqueue(id);
            }
        }
    }

    /// Asterisk stops, or the module is unloaded: forgets every phone and withdraws its record.
    pub fn withdraw_all(&mut self, now: Instant) {
        let ids: Vec<_> = self.sources.keys().copied().collect();
        for id in ids {
            if let Some(source) = self.sources.get_mut(&id) {
                source.contacts.clear();
            }
            self.after_removal(now, id);
        }
    }

    /// Appends at most `max` claims that are due to `out`. Call until it appends none.
    pub fn poll(&mut self, now: Instant, max: usize, out: &mut Vec<Claim>) {
        self.expire(now);
        for _ in 0..max {
            let Some(&(at, id)) = self.due.first() else { break };
            if at > now {
                break;
            }
            self.due.pop_first();
            self.examined += 1;
            let expires = self.expires(id);
            let Some(record) = self.records.get_mut(&id) else { continue };
            record.queued = None;
            self.last_id += 1;
            out.push(record.send(now, self.last_id, expires));
            self.in_flight.insert(self.last_id, id);
        }
    }

    /// The claim `id` ended so. An unknown `id` is ignored.
    pub fn done(&mut self, now: Instant, id: u64, outcome: Outcome) {
        let Some(id) = self.in_flight.remove(&id) else { return };
        let Some(record) = self.records.get_mut(&id) else { return };
        if record.done(now, outcome) {
            match record.sources.first() {
                Some(&(section, _)) => record.begin_again(now, &self.rules[section].identity),
                None => return self.forget(id),
            }
        }
        self.enqueue(id);
    }

    /// When [`Self::poll`] will have something to do if no event comes; `None` if never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let expiry = self.expiries.first().map(|(at, _)| *at);
        due.into_iter().chain(expiry).min()
    }

    /// Every phone in every section that covers its driver, then those being withdrawn.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        let present = self.sources.values().flat_map(|source| self.views(source));
        let leaving = self.records.values().filter(|r| r.sources.is_empty());
        present.chain(leaving.map(PeerView::leaving))
    }

    /// The same for the phones of one name, of whatever driver.
    pub fn peers_named<'a>(&'a self, endpoint: &'a str) -> impl Iterator<Item = PeerView<'a>> {
        let ids = self.drivers.values().filter_map(|of_driver| of_driver.get(endpoint));
        ids.filter_map(|id| self.sources.get(id)).flat_map(|source| self.views(source))
    }

    fn views<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = PeerView<'a>> {
        source.records.iter().filter_map(|(_, record)| {
            let record = match record {
                Ok(id) => Ok(self.records.get(id)?),
                Err(why) => Err(*why),
            };
            Some(PeerView::of(source, record))
        })
    }

    /// How many claims are under way. A clean stop waits until this and the queue are empty.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many queue entries [`Self::poll`] has taken up so far: what it costs, counted.
    pub fn examined(&self) -> u64 {
        self.examined
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.expiries.first() {
            if at > now {
                break;
            }
            self.examined += 1;
            if let Some(source) = self.sources.get_mut(&id) {
                source.drop_expired(now);
            }
            self.after_removal(now, id);
        }
    }

    fn find(&self, driver: &str, endpoint: &str) -> Option<SourceId> {
        self.drivers.get(&driver.to_ascii_lowercase())?.get(endpoint).copied()
    }

    /// The phone, made and attached to its records if it is new.
    fn source(&mut self, now: Instant, driver: &str, endpoint: &str) -> SourceId {
        if let Some(id) = self.find(driver, endpoint) {
            return id;
        }
        self.last_id += 1;
        let id = self.last_id;
        self.sources.insert(id, Source::new(driver, endpoint));
        let of_driver = self.drivers.entry(driver.to_ascii_lowercase()).or_default();
        of_driver.insert(endpoint.to_owned(), id);
        self.attach(now, id);
        id
    }

    /// Finds or makes a phone's records, one for each section that covers its driver.
    fn attach(&mut self, now: Instant, id: SourceId) {
        let Some(source) = self.sources.get(&id) else { return };
        let mut records: Vec<(usize, Result<RecordId, Unpublishable>)> = Vec::new();
        for (section, rules) in self.rules.iter().enumerate() {
            if !rules.covers(&source.driver) {
                continue;
            }
            let record = rules.key(&source.endpoint).map(|key| {
                *self.keys.entry(key).or_insert_with_key(|key| {
                    self.last_id += 1;
                    let (value, lease) = (rules.identity.clone(), rules.whole_lease());
                    let record = Record::new(now, key.clone(), value, lease);
                    self.records.insert(self.last_id, record);
                    self.last_id
                })
            });
            if let Some(record) = record.ok().and_then(|id| self.records.get_mut(&id)) {
                record.sources.push((section, id));
                // Where two sections make one key, the first in the file says whose it is.
                record.sources.sort_unstable();
                record.lease = self.rules[record.sources[0].0].whole_lease();
            }
            records.push((section, record));
        }
        if let Some(source) = self.sources.get_mut(&id) {
            source.records = records;
        }
    }

    /// Contacts were removed: if it was the last, the phone leaves its records.
    fn after_removal(&mut self, now: Instant, id: SourceId) {
        let Some(source) = self.sources.get(&id) else { return };
        if !source.contacts.is_empty() {
            return self.enqueue_expiry(id);
        }
        let Some(source) = self.sources.remove(&id) else { return };
        if let Some(at) = source.queued {
            self.expiries.remove(&(at, id));
        }
        if let Some(of_driver) = self.drivers.get_mut(&source.driver.to_ascii_lowercase()) {
            of_driver.remove(&source.endpoint);
        }
        for record_id in source.records.iter().filter_map(|(_, r)| r.ok()) {
            let Some(record) = self.records.get_mut(&record_id) else { continue };
            record.sources.retain(|(_, source)| *source != id);
            if record.sources.is_empty() {
                record.last_source = (source.driver.clone(), source.endpoint.clone());
                self.let_go(now, record_id);
            }
        }
    }

    /// No phone is left for the record.
    fn let_go(&mut self, now: Instant, id: RecordId) {
        let Some(record) = self.records.get_mut(&id) else { return };
        if record.withdraw(now) {
            self.enqueue(id);
        } else {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: RecordId) {
        let Some(record) = self.records.remove(&id) else { return };
        self.keys.remove(&record.key);
        if let Some(at) = record.queued {
            self.due.remove(&(at, id));
        }
        if let Some(flight) = record.in_flight {
            self.in_flight.remove(&flight.id);
        }
    }

    /// Puts the record where its wish belongs in the queue.
    fn enqueue(&mut self, id: RecordId) {
        let Some(record) = self.records.get_mut(&id) else { return };
        let at = record.waits().then_some(record.due);
        if record.queued == at {
            return;
        }
        if let Some(old) = record.queued {
            self.due.remove(&(old, id));
        }
        record.queued = at;
        if let Some(at) = at {
            self.due.insert((at, id));
        }
    }

    fn enqueue_expiry(&mut self, id: SourceId) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let at = source.next_expiry();
        if source.queued == at {
            return;
        }
        if let Some(old) = source.queued {
            self.expiries.remove(&(old, id));
        }
        source.queued = at;
        if let Some(at) = at {
            self.expiries.insert((at, id));
        }
    }

    /// The end of the contact that lives longest, of all phones of a record.
    fn expires(&self, id: RecordId) -> Option<Instant> {
        let sources = self.records.get(&id).map_or(&[][..], |r| &r.sources);
        latest(sources.iter().filter_map(|(_, id)| Some(self.sources.get(id)?.expires())))
    }
}
