//! Rows as lines of JSON, and lines of JSON as rows by arrow-json alone. The bench of the pipeline takes this file too.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Fields, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};

/// Rows that arrow-json makes at a time.
const BATCH: usize = 8192;

/// `columns` as JSON has them: timestamps are in microseconds, and have no zone, since some builds of arrow know none by its name.
pub fn plain(columns: &Fields) -> Fields {
    let column = |field: &FieldRef| match field.data_type() {
        DataType::Timestamp(..) => {
            let without_zone = DataType::Timestamp(TimeUnit::Microsecond, None);
            Arc::new(field.as_ref().clone().with_data_type(without_zone))
        }
        _ => Arc::clone(field),
    };
    columns.iter().map(column).collect()
}

/// The first columns of `rows`, which become [`plain`] `columns`: an object of JSON a line, without what is NULL.
pub fn lines(rows: &RecordBatch, columns: &Fields) -> Result<Vec<u8>, ArrowError> {
    let values = columns.iter().zip(rows.columns()).map(|(field, column)| cast(column, field.data_type()));
    let values = values.collect::<Result<_, _>>()?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&RecordBatch::try_new(Arc::new(Schema::new(columns.clone())), values)?)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// The values of `lines`. In texts a line feed is escaped, so each stands between two ends of lines.
pub fn values(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// How many rows arrow-json makes of `lines`, on this thread.
pub fn decode(lines: &[u8], columns: &Fields) -> Result<usize, ArrowError> {
    let schema = Arc::new(Schema::new(columns.clone()));
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(BATCH).build_decoder()?;
    let (mut rest, mut rows) = (lines, 0);
    loop {
        let read = decoder.decode(rest)?;
        rest = rest.get(read..).unwrap_or_default();
        match decoder.flush()? {
            Some(batch) => rows += black_box(batch).num_rows(),
            None => return Ok(rows),
        }
    }
}
