//! Functions of a program's own in SQL: a scalar one, `shop_of`, and an aggregate one, `longest`.
//!
//! ```text
//! cargo run --example function
//! ```
//!
//! A function gives the same value whenever a batch is replayed. What `shop_of` cannot compute costs its row alone: it goes to quarantine,
//! with the place of its event and what the function said.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::ensure;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarUDF, Signature, Volatility, create_udf,
};
use sluicebox::{Connectors, Home, Job, Progress, Status, query};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_sources::{Record, TopicOptions};

const SQL: &str = "
CREATE TABLE views (page STRING NOT NULL, at_time TIMESTAMP NOT NULL)
  USING kafka OPTIONS ('subscribe' = 'views.v1', 'value.format' = 'json');

CREATE STREAMING TABLE silver_views
  AS SELECT shop_of(page) AS shop, page, at_time FROM STREAM views WATERMARK at_time DELAY OF INTERVAL '1 minute';

CREATE STREAMING TABLE gold_shops
  AS SELECT window.start AS hour, shop, longest(page) AS longest_page
     FROM STREAM silver_views GROUP BY window(at_time, INTERVAL '1 hour'), shop;
";

/// The third names no shop.
const VIEWS: [&str; 5] = [
    r#"{"page": "north/apples", "at_time": "2024-05-01T10:05:00Z"}"#,
    r#"{"page": "south/figs", "at_time": "2024-05-01T10:06:00Z"}"#,
    r#"{"page": "imprint", "at_time": "2024-05-01T10:07:00Z"}"#,
    r#"{"page": "north/pomegranates", "at_time": "2024-05-01T10:08:00Z"}"#,
    r#"{"page": "south/plums", "at_time": "2024-05-01T12:00:00Z"}"#,
];

const HOUR: &str = "\
+-------+--------------------+
| shop  | longest_page       |
+-------+--------------------+
| north | north/pomegranates |
| south | south/figs         |
+-------+--------------------+";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let home = Home::at(folder.path()).with_variables(BTreeMap::new());
    write_views(&home)?;

    // A name that Spark has keeps the meaning that it has in Spark.
    let taken = create_udf("upper", vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(shop_of));
    let refused = Connectors::standard().with_scalar(taken).err().map(|error| error.to_string()).unwrap_or_default();
    println!("{refused}");
    ensure!(refused.contains("Spark has a function of this name"), "`upper` was taken: {refused}");

    let connectors =
        Connectors::standard().with_scalar(scalar())?.with_aggregate(AggregateUDF::from(Longest::new()))?;
    let job = Job::of("views.sql", SQL).at_home(home).with(connectors);
    let mut told = |batch: &Progress, _: &Status| println!("batch {}: {} events", batch.batch_id, batch.num_input_rows);
    let totals = job.run_available(&mut told).await?;
    let quarantined = totals.tables.get("silver_views").map(|fates| fates.quarantined);
    println!("{} events, of which {quarantined:?} could not be computed", totals.events);
    assert_eq!((totals.events, quarantined), (5, Some(1)));

    let data = folder.path().join("data");
    let sql = "SELECT shop, longest_page FROM gold.shops ORDER BY shop";
    let hour = pretty_format_batches(&query::rows(&data, sql).await?)?.to_string();
    println!("the hour that is final:\n{hour}");
    assert_eq!(hour, HOUR);
    Ok(())
}

/// The function `shop_of(page)`: what stands before the first `/`.
fn scalar() -> ScalarUDF {
    create_udf("shop_of", vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(shop_of))
}

fn shop_of(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let [page] = args else { return Err(DataFusionError::Execution("shop_of takes one text".to_owned())) };
    match page {
        ColumnarValue::Array(pages) => Ok(ColumnarValue::Array(shops(pages)?)),
        // Of a constant it is a constant.
        ColumnarValue::Scalar(page) => {
            let shop = ScalarValue::try_from_array(&shops(&page.to_array()?)?, 0)?;
            Ok(ColumnarValue::Scalar(shop))
        }
    }
}

/// NULL of NULL. An error is of all rows at once; then the function is asked again for fewer, down to those at fault.
fn shops(pages: &ArrayRef) -> Result<ArrayRef> {
    let shops = pages.as_string::<i32>().iter().map(|page| {
        let Some(page) = page else { return Ok(None) };
        match page.split_once('/') {
            Some((shop, _)) => Ok(Some(shop)),
            None => Err(DataFusionError::Execution(format!("shop_of: `{page}` names no shop"))),
        }
    });
    Ok(Arc::new(shops.collect::<Result<StringArray>>()?))
}

/// The function `longest(text)`: the longest text of a group, and of several the first in the alphabet, in whatever order they come.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Longest {
    signature: Signature,
}

impl Longest {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Longest {
    fn name(&self) -> &str {
        "longest"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(LongestSoFar::default()))
    }
}

/// What is remembered of a group: between batches it is in the checkpoint.
#[derive(Debug, Default)]
struct LongestSoFar(Option<String>);

impl LongestSoFar {
    fn see(&mut self, texts: &ArrayRef) {
        for text in texts.as_string::<i32>().iter().flatten() {
            let is_longer = |known: &String| (text.len(), known.as_str()) > (known.len(), text);
            if self.0.as_ref().is_none_or(is_longer) {
                self.0 = Some(text.to_owned());
            }
        }
    }
}

impl Accumulator for LongestSoFar {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.iter().for_each(|texts| self.see(texts));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.iter().for_each(|texts| self.see(texts));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Utf8(self.0.clone())])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(self.0.clone()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.as_ref().map_or(0, String::capacity)
    }
}

fn write_views(home: &Home) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = home.open_log(&clock)?;
    log.create_topic("views.v1", 1, TopicOptions::default())?;
    let record = |view: &str| Record { value: Some(Bytes::from(view.to_owned())), ..Record::default() };
    log.append("views.v1", 0, &VIEWS.map(record))?;
    Ok(())
}
