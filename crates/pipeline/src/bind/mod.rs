//! From a parsed pipeline to plans: names and types resolved, queries cut where state begins.
