//! The batch loop: admit, write-ahead, run the graph, commit, recover
