//! Limits connections: in all, and for each client, so that the client with the most leaves some to others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The places of a server.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    all: usize,
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Places,
    address: IpAddr,
}

impl Places {
    /// So many places in all.
    pub(crate) fn new(all: usize) -> Self {
        Self { all, taken: Arc::default() }
    }

    /// A place for a client at `address`, if there is one. The last quarter is kept for those who have less than the rest.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&address).copied().unwrap_or(0);
        if taken.values().sum::<usize>() >= self.all || own >= self.all - self.all / 4 {
            return None;
        }
        taken.insert(address, own + 1);
        Some(Place { of: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = taken.get(&self.address).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            taken.remove(&self.address);
        } else {
            taken.insert(self.address, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_all_places_and_one_that_is_left_is_free() {
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        let places = Places::new(8);
        let held: Vec<Option<Place>> = (0..8).map(|_| places.take(one)).collect();
        assert_eq!(held.iter().flatten().count(), 6);
        let others: Vec<Option<Place>> = (0..8).map(|_| places.take(other)).collect();
        assert_eq!(others.iter().flatten().count(), 2, "no more than there are in all");
        drop(held);
        assert!(places.take(one).is_some());
        drop(others);
        assert!(places.taken.lock().is_ok_and(|taken| taken.is_empty()));
    }

    #[test]
    fn few_places_are_anybodys() {
        let one = IpAddr::from([127, 0, 0, 1]);
        let places = Places::new(2);
        let held: Vec<Option<Place>> = (0..3).map(|_| places.take(one)).collect();
        assert_eq!(held.iter().flatten().count(), 2);
    }
}
