//! Any pipeline of the family.

use proptest::prelude::*;

use crate::pipeline::{Action, By, Column, Condition, Gold, Having, Keys, Shape, Silver};

fn condition() -> impl Strategy<Value = Condition> {
    use Condition::{
        Counts, Divides, FewOfThem, FirstRegions, HasKey, HasTime, InCity, KnownRegion, Large, Scored, Sold, Tagged,
        Zero,
    };
    let usual = vec![Sold, KnownRegion, HasKey, FewOfThem, Divides, HasTime];
    let others = vec![Zero, Large, Tagged, InCity, Scored, Counts, FirstRegions];
    prop_oneof![2 => prop::sample::select(usual), 1 => prop::sample::select(others)]
}

/// A condition that can be evaluated for every row: in a WHERE an error would end the run.
fn filter() -> impl Strategy<Value = Option<Condition>> {
    use Condition::{Counts, FewOfThem, HasKey, InCity, KnownRegion, Large, Scored, Sold, Tagged};
    let all = vec![Sold, KnownRegion, HasKey, FewOfThem, Large, Tagged, InCity, Scored, Counts];
    prop::option::weighted(0.4, prop::sample::select(all))
}

/// What a pipeline does with rows that break an expectation and does not stop for.
pub fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(vec![Action::Warn, Action::Drop, Action::Quarantine])
}

fn silver(watermark: impl Strategy<Value = bool>) -> impl Strategy<Value = Silver> {
    let expectations = prop::collection::vec((condition(), action()), 0..4).prop_map(|mut all| {
        let mut seen = Vec::new();
        all.retain(|(condition, _)| {
            let new = !seen.contains(condition);
            seen.push(*condition);
            new
        });
        all
    });
    let columns = [Column::Ratio, Column::Place, Column::Tags, Column::Scores].map(Keys::KeyAnd);
    let keys = [vec![Keys::None, Keys::Key, Keys::Key, Keys::KeyAndRegion], columns.to_vec()].concat();
    let keys = prop::sample::select(keys);
    (keys, watermark, filter(), filter(), expectations, (prop::bool::weighted(0.3), any::<bool>())).prop_map(
        |(keys, watermark, filter, also, expectations, (computes, in_folders))| {
            let also = if keys == Keys::None && !watermark { also } else { None };
            Silver { keys, watermark, filter, also, expectations, computes, in_folders }
        },
    )
}

fn gold() -> impl Strategy<Value = Gold> {
    // Size, slide, offset.
    let window =
        prop::sample::select(vec![(2, 2, 0), (5, 5, 0), (5, 5, 2), (6, 2, 0), (5, 2, 0), (6, 4, 1), (10, 5, 0)]);
    let rollup = prop::option::weighted(0.4, prop::sample::select(vec![10, 15]));
    let by = [By::Nothing, By::Region, By::Region, By::City, By::Column(Column::Ratio), By::Column(Column::Place)];
    let by = prop::sample::select([by.to_vec(), vec![By::Column(Column::Tags), By::Column(Column::Scores)]].concat());
    let having = prop::sample::select(vec![Having::Several, Having::LargestSeq, Having::LowIsZero]);
    let having = prop::option::weighted(0.3, having);
    let rest = (prop::option::weighted(0.4, action()), rollup);
    (window, by, any::<[bool; 2]>(), filter(), having, rest).prop_map(
        |((size, slide, offset), by, [named, in_folders], filter, having, (expectation, rollup))| Gold {
            size,
            slide,
            offset,
            by,
            named,
            in_folders,
            filter,
            having,
            expectation,
            rollup,
        },
    )
}

fn delay() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 3, 8])
}

/// Pipelines that end at silver.
pub fn without_windows() -> impl Strategy<Value = Shape> {
    (any::<bool>(), silver(prop::bool::weighted(0.7)), delay()).prop_map(|(bronze_by_region, silver, delay)| Shape {
        bronze_by_region,
        silver,
        delay,
        gold: None,
    })
}

/// Pipelines with windows.
pub fn with_windows() -> impl Strategy<Value = Shape> {
    (any::<bool>(), silver(any::<bool>()), delay(), gold()).prop_map(|(bronze_by_region, silver, delay, gold)| Shape {
        bronze_by_region,
        silver,
        delay,
        gold: Some(gold),
    })
}

/// Pipelines of which one expectation has FAIL UPDATE: silver's, or that of gold.
pub fn failing() -> impl Strategy<Value = Shape> {
    let condition = prop_oneof![3 => Just(Condition::NotUnlucky), 1 => condition()];
    let shape = prop_oneof![1 => without_windows().boxed(), 2 => with_windows().boxed()];
    (shape, condition, any::<bool>()).prop_map(|(mut shape, condition, at_gold)| {
        match &mut shape.gold {
            Some(gold) if at_gold => gold.expectation = Some(Action::Fail),
            _ => {
                shape.silver.expectations.retain(|(other, _)| *other != condition);
                shape.silver.expectations.push((condition, Action::Fail));
            }
        }
        shape
    })
}
