//! Walks over fields that the reader schema lacks. They are checked as strictly as others, but for the digits of decimals and the range of
//! dates and times, so that the fate of an event does not depend on the reader schema.

use sluicebox_registry::schema::{Field, Kind, NodeId};

use crate::avro::cursor::Cursor;
use crate::avro::program::Program;
use crate::class::ErrorClass;
use crate::fault::Step;

/// Checks and passes over a value of the writer's node `id`.
pub(crate) fn skip(program: &Program, id: NodeId, cursor: &mut Cursor<'_>) -> Step {
    match &program.writer.node(id).kind {
        Kind::Null => {}
        Kind::Boolean => drop(cursor.boolean()?),
        Kind::Int => drop(cursor.int()?),
        Kind::Long => drop(cursor.long()?),
        Kind::Float => drop(cursor.array::<4>("a float")?),
        Kind::Double => drop(cursor.array::<8>("a double")?),
        Kind::Bytes => drop(cursor.bytes()?),
        Kind::String => drop(cursor.string()?),
        Kind::Fixed { size, .. } => drop(cursor.fixed(*size)?),
        Kind::Enum { symbols, .. } => drop(cursor.index(symbols.len(), ErrorClass::InvalidEnum, "enum symbol")?),
        // What follows may be recursive.
        Kind::Union(branches) => {
            cursor.deeper()?;
            let branch = cursor.index(branches.len(), ErrorClass::InvalidUnionBranch, "union branch")?;
            skip(program, branches[branch], cursor)?;
            cursor.shallower();
        }
        Kind::Record { fields, .. } => {
            cursor.deeper()?;
            record(program, id, fields, cursor)?;
            cursor.shallower();
        }
        Kind::Array(item) => {
            cursor.deeper()?;
            items(program, *item, false, cursor)?;
            cursor.shallower();
        }
        Kind::Map(item) => {
            cursor.deeper()?;
            items(program, *item, true, cursor)?;
            cursor.shallower();
        }
    }
    Ok(())
}

fn record(program: &Program, id: NodeId, fields: &[Field], cursor: &mut Cursor<'_>) -> Step {
    if program.empty[id] {
        // A small schema can hold any number of records without bytes.
        cursor.charge_empty(1)?;
    }
    for field in fields {
        skip(program, field.node, cursor).map_err(|fault| fault.within(&field.name))?;
    }
    Ok(())
}

fn items(program: &Program, item: NodeId, keyed: bool, cursor: &mut Cursor<'_>) -> Step {
    while let Some(block) = cursor.block(1, !keyed && program.empty[item])? {
        for _ in 0..block.items {
            if keyed {
                cursor.string()?;
            }
            skip(program, item, cursor)?;
        }
        cursor.end_block(&block)?;
    }
    Ok(())
}
