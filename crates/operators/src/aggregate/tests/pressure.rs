//! Little memory never shows in the output. A group that is larger than all of it is reported.

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;

use super::*;

/// Whether the operator under `pressure` gives the deltas and rows of one without. Groups are new for 12,000 rows of each
/// batch, then come again: whoever gives up looking for groups half way has them twice.
fn is_unmoved(pressure: &SessionContext) {
    let node = node(&["i", "s"], "count(*), sum(v)", tumbling(10));
    let mut operators = [WindowAggregate::try_new(&node, &pressure.state()).unwrap(), operator(&node)];
    for batch in 0..3 {
        let events: Vec<_> = (0..20_000).map(|at| (at % 12_000 % 1_000, 1, at % 12_000 * 3 + batch)).collect();
        let chunks: Vec<RecordBatch> = events.chunks(500).map(unplaced).collect();
        let deltas = operators.each_mut().map(|operator| {
            block_on(operator.process(&chunks)).unwrap();
            operator.delta().unwrap().unwrap()
        });
        assert_eq!(deltas[0].num_rows(), deltas[1].num_rows(), "a delta is compact");
        assert_eq!(deltas[0], deltas[1]);
    }
    let [tight, wide] = operators.each_mut().map(|operator| block_on(operator.close(i64::MAX)).unwrap());
    assert_eq!(text(&tight), text(&wide));
}

/// Rows of one offset, so that chunks stay as they are.
fn unplaced(events: &[(i64, u8, i64)]) -> RecordBatch {
    let seen = |&(time, key, value): &(i64, u8, i64)| Seen {
        part: 0,
        offset: 0,
        event: Event { time: Some(time * SECOND), key, value },
    };
    testing::batch(&events.iter().map(seen).collect::<Vec<_>>())
}

#[test]
fn many_groups_do_not_make_state_pass_through() {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().execution.skip_partial_aggregation_probe_rows_threshold = 100;
    is_unmoved(&SessionContext::new_with_config(config));
}

#[test]
fn memory_pressure_does_not_leave_groups_twice() {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(400_000, 1.0).build_arc().unwrap();
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(512);
    is_unmoved(&SessionContext::new_with_config_rt(config, runtime));
}

/// Where nothing goes to files, what there is no memory for at once is merged as streams.
#[test]
fn memory_pressure_without_temporary_files_stops_no_close() {
    let files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(600_000, 1.0).with_disk_manager_builder(files);
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(512);
    is_unmoved(&SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap()));
}

/// One group that is larger than all the memory there is stops the run, by its name.
#[test]
fn a_group_larger_than_the_memory_is_told() {
    let files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(200_000, 1.0).with_disk_manager_builder(files);
    let config = SessionConfig::new().with_target_partitions(1);
    let session = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
    let node = node(&[], "array_agg(i ORDER BY i)", tumbling(1_000));
    let mut operator = WindowAggregate::try_new(&node, &session.state()).unwrap();
    let events: Vec<_> = (0..100_000).map(|at| (at % 1_000, 1, at)).collect();
    let error = block_on(operator.process(&[unplaced(&events)])).unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    assert!(error.to_string().contains("more memory at once than 'query.memory' allows"), "{error}");
}
