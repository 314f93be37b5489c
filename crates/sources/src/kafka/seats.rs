//! Chooses the partitions that librdkafka fetches: a pure function.
//!
//! librdkafka fetches every partition that is assigned to it. It buffers at least one record batch for each, however little is taken, and
//! the thread keeps a half unpacked one beside it. With all partitions of a wide topic assigned, the memory of a backlog would grow with
//! their number. So partitions that are far behind take turns on a few **seats**. The others need no seat, since little of them can be
//! waiting.

/// How many partitions that are far behind are assigned at once. Enough that some answer while others are asked, on a
/// topic whose brokers are several, too.
pub(super) const SEATS: usize = 8;

/// A partition, as far as it matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Guest {
    /// Whether it is assigned.
    pub(super) assigned: bool,
    /// Whether many of its events are to come.
    pub(super) behind: bool,
    /// Whether a batch waits for it.
    pub(super) urgent: bool,
}

/// What is to be done, by the partitions' places in the list; first they leave, then they enter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seating {
    pub(super) leave: Vec<usize>,
    pub(super) enter: Vec<usize>,
    /// Where the next look begins, for turns that go round.
    pub(super) turn: usize,
    /// Whether someone waits for a seat, or more are taken than there are: who had a turn should leave.
    pub(super) wanted: bool,
}

/// Who leaves and who enters. Those who need no seat enter at once. Of those who do, the urgent come first, the others in
/// turn from `turn` on. Guests leave by themselves when they had their turn; only for the urgent one must go that is not
/// urgent, and what was fetched of it is fetched again. So where all wait for an urgent one, it comes.
pub(super) fn next(guests: &[Guest], turn: usize) -> Seating {
    let mut seating = Seating { turn, ..Seating::default() };
    let (mut taken, mut waiting) = (0, Vec::new());
    for index in (turn..guests.len()).chain(0..turn.min(guests.len())) {
        match guests[index] {
            Guest { assigned: true, behind: true, .. } => taken += 1,
            Guest { assigned: true, .. } => {}
            Guest { behind: true, .. } => waiting.push(index),
            Guest { .. } => seating.enter.push(index),
        }
    }
    let mut at_leisure = (0..guests.len()).filter(|index| {
        let guest = guests[*index];
        guest.assigned && guest.behind && !guest.urgent
    });
    // A stable sort: within both kinds the turn decides.
    waiting.sort_by_key(|index| !guests[*index].urgent);
    for index in waiting {
        if taken < SEATS {
            taken += 1;
        } else {
            seating.wanted = true;
            let Some(left) = guests[index].urgent.then(|| at_leisure.next()).flatten() else { break };
            seating.leave.push(left);
        }
        seating.enter.push(index);
        seating.turn = index + 1;
    }
    seating.wanted |= taken > SEATS;
    seating
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AWAY: Guest = Guest { assigned: false, behind: true, urgent: false };
    const SEATED: Guest = Guest { assigned: true, ..AWAY };
    const AT_END: Guest = Guest { behind: false, ..AWAY };
    const URGENT: Guest = Guest { urgent: true, ..AWAY };

    #[test]
    fn the_first_get_the_seats_and_those_at_their_end_need_none() {
        let guests = [vec![AWAY; SEATS + 2], vec![AT_END; 3]].concat();
        let seating = next(&guests, 1);
        let mut entered = seating.enter.clone();
        entered.sort_unstable();
        let expected: Vec<usize> = (1..=SEATS).chain(SEATS + 2..SEATS + 5).collect();
        assert_eq!((entered, seating.leave, seating.turn, seating.wanted), (expected, vec![], SEATS + 1, true));
    }

    #[test]
    fn nobody_is_sent_away_but_for_an_urgent_one() {
        let mut guests = [vec![SEATED; SEATS], vec![AWAY; 2]].concat();
        assert_eq!(next(&guests, 0), Seating { wanted: true, ..Seating::default() });
        guests[SEATS + 1] = URGENT;
        let seating = next(&guests, 0);
        assert_eq!((seating.leave, seating.enter), (vec![0], vec![SEATS + 1]));
        guests.iter_mut().take(SEATS).for_each(|guest| guest.urgent = true);
        assert!(next(&guests, 0).enter.is_empty(), "the urgent wait for the urgent");
    }

    #[test]
    fn one_seat_too_many_is_wanted_back() {
        assert!(next(&[SEATED; SEATS + 1], 0).wanted);
        assert!(!next(&[SEATED; SEATS], 0).wanted);
    }

    proptest! {
        /// Whoever leaves at random: no look seats more than there are seats, and in as many looks as there are guests,
        /// each of which frees a seat, everybody had one.
        #[test]
        fn everybody_gets_a_turn(count in 1..40_usize, leavers in proptest::collection::vec(0..SEATS, 40)) {
            let mut guests = vec![AWAY; count];
            let (mut had, mut turn) = (vec![false; count], 0);
            for leaver in leavers {
                let seating = next(&guests, turn);
                turn = seating.turn;
                for index in seating.enter {
                    (guests[index], had[index]) = (SEATED, true);
                }
                let seated: Vec<usize> = (0..count).filter(|index| guests[*index].assigned).collect();
                prop_assert!(seated.len() == SEATS.min(count));
                guests[seated[leaver % seated.len()]] = AWAY;
            }
            prop_assert!(had.iter().all(|had| *had), "{had:?}");
        }
    }
}
