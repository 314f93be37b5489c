//! Values that exceed the room are reported before they take the memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow::array::{Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;

use super::*;
use crate::bind::session_state_within;
use crate::leaf::collect_in_order;

const MIB: usize = 1 << 20;

/// Rows of a number and a text of so many bytes.
fn rows(numbers: &[i64], bytes: usize) -> RecordBatch {
    let texts = StringArray::from_iter_values(numbers.iter().map(|_| "x".repeat(bytes)));
    let numbers = Int64Array::from(numbers.to_vec());
    RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef), ("s", Arc::new(texts) as ArrayRef)]).unwrap()
}

/// How many rows `sql` gives over `t`, with room for a mebibyte.
async fn run(sql: &str, batch: RecordBatch) -> Result<usize> {
    let context = SessionContext::new_with_state(session_state_within(1, MIB as u64, false)?);
    let room = Arc::new(Room::of(&context.state()));
    context.register_batch("t", batch)?;
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let rows = collect_in_order(watched(plan, &room)?, &context.task_ctx()).await?;
    Ok(rows.iter().map(RecordBatch::num_rows).sum())
}

#[tokio::test]
async fn growth_is_counted_and_what_is_as_large_as_its_rows_is_not() {
    let many = vec![100; 10_000];
    for sql in [
        "SELECT upper(s) AS a, lower(s) AS b, s || s AS c, n + 1 AS d FROM t",
        "SELECT unnest(make_array(n, n)) AS x FROM t",
    ] {
        let expected = if sql.contains("unnest") { 20_000 } else { 10_000 };
        assert_eq!(run(sql, rows(&many, 1_000)).await.unwrap(), expected, "{sql}");
    }
    for sql in [
        "SELECT lpad(s, 6000) AS p FROM t",
        "SELECT lpad(s, 100) AS p FROM t UNION ALL SELECT lpad(s, 6000) AS p FROM t",
        "SELECT unnest(range(0, n)) AS x, s FROM t",
    ] {
        let error = run(sql, rows(&many, 1_000)).await.unwrap_err();
        assert!(is_full(&error), "{sql}: {error}");
    }
}

/// A text of which nothing is made may be as long as it likes: what is made of a number is counted by that number.
#[tokio::test]
async fn a_column_beside_is_nothing_to_grow_by() {
    for (sql, n) in
        [("SELECT s, repeat('x', CAST(n AS INT)) AS p FROM t", 1_000), ("SELECT s, range(0, n) AS l FROM t", 100)]
    {
        let error = run(sql, rows(&vec![n; 10_000], 1_000)).await.unwrap_err();
        assert!(is_full(&error), "{sql}: {error}");
    }
    assert_eq!(run("SELECT n, repeat(s, 4) AS p FROM t", rows(&[1; 10_000], 1_000)).await.unwrap(), 10_000);
}

/// Whatever the batch, the rows of one are not more than a row may become.
#[tokio::test]
async fn a_row_that_becomes_too_much_is_an_error() {
    let error = run("SELECT unnest(range(0, n)) AS x, s FROM t", rows(&[1, 60_000], 2_000)).await.unwrap_err();
    assert!(!is_full(&error) && error.to_string().contains("those of one row may take"), "{error}");
}

#[test]
fn an_unnest_is_given_few_rows_at_a_time() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..100 {
        (0..row).for_each(|_| lists.values().append_value("e"));
        lists.append(row != 50);
    }
    let texts = StringArray::from_iter_values(
        (0..100).map(|row| if row % 2 == 0 { "x".repeat(MIB / 4) } else { String::new() }),
    );
    let columns = [("l", Arc::new(lists.finish()) as ArrayRef), ("s", Arc::new(texts) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let unnest = [ListUnnest { index_in_input_schema: 0, depth: 1 }];
    let made = unnested(&batch, &unnest);
    assert!(made[1] < 100 && made[80] > 20 * MIB && made[80] < 21 * MIB, "{made:?}");
    let pieces = pieces(&batch, &unnest).unwrap();
    for piece in &pieces {
        let bytes: usize = unnested(piece, &unnest).iter().sum();
        assert!(piece.num_rows() == 1 || bytes <= PIECE, "{bytes} of {} rows", piece.num_rows());
    }
    assert!(pieces.len() < 90, "no more than are needed: {}", pieces.len());
    assert_eq!(concat_batches(&batch.schema(), &pieces).unwrap(), batch, "all of them, in their order");
}

#[test]
fn of_lists_in_lists_the_elements_count() {
    let mut lists = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    for _ in 0..3 {
        for _ in 0..1_000 {
            lists.values().values().append_value("element");
        }
        lists.values().append(true);
    }
    lists.append(true);
    let texts = StringArray::from_iter_values(["x".repeat(1_000)]);
    let columns = [("l", Arc::new(lists.finish()) as ArrayRef), ("s", Arc::new(texts) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let of = |depth| unnested(&batch, &[ListUnnest { index_in_input_schema: 0, depth }])[0];
    assert!(of(1) < 100_000 && of(2) > 3_000_000, "{} and {}", of(1), of(2));
}
