//! Ownership, and the list of tables.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::{glob, key, rows, table, walk};
use crate::owner::{self, Home, MARK, Observed, mark};
use crate::{Check, LakeError, Owner, list_tables, prepare, publish, real_path, sweep};

pub(super) fn me(generation: u64) -> Owner {
    Owner {
        query_id: super::QUERY.to_owned(),
        generation,
        pipeline: "revenue_5m".to_owned(),
        table: "bronze_sales".to_owned(),
        checkpoint: "/c/revenue_5m".to_owned(),
        host: "here".to_owned(),
    }
}

/// [`owner::check_unowned`] where the checkpoint of every mark is lost.
fn check_unowned(location: &Path, pipeline: &str) -> crate::Result<()> {
    owner::check_unowned(location, pipeline, |_| Home::Lost)
}

pub(super) fn write_one(location: &Path) {
    let table = table(location, &["day"]);
    let files = table.stage_files(&key(1, 1), &[rows(0, &[(None, Some(1)), (None, None)])]).unwrap();
    publish(table.location(), &files, Check::Size).unwrap();
}

#[test]
fn an_empty_folder_is_claimed_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("t");
    check_unowned(&location, "revenue_5m").unwrap();
    prepare(&location).unwrap();
    check_unowned(&location, "revenue_5m").unwrap();
    owner::claim(&location, &me(1)).unwrap();
    write_one(&location);
    owner::claim(&location, &me(1)).unwrap();
    assert_eq!(owner::read(&location).unwrap(), Some(me(1)));
    let moved = Owner { checkpoint: "/elsewhere".to_owned(), ..me(1) };
    owner::claim(&location, &moved).unwrap();
}

#[test]
fn another_query_or_generation_is_refused_with_the_ways_out() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &me(2)).unwrap();
    let another = Owner { query_id: "another".to_owned(), ..me(2) };
    let error = owner::claim(dir.path(), &another).unwrap_err();
    assert!(matches!(error, LakeError::NotOwner { .. }), "{error}");
    assert!(error.to_string().contains("choose another LOCATION"), "{error}");
    for (wanted, way_on) in [(me(3), "Run `--full-refresh` once more"), (me(1), "Put the newest one there")] {
        let error = owner::claim(dir.path(), &wanted).unwrap_err();
        assert!(matches!(error, LakeError::OtherGeneration { .. }), "{error}");
        assert!(error.to_string().contains("generation 2 of this pipeline"), "{error}");
        assert!(error.to_string().contains(way_on), "{error}");
    }
}

#[test]
fn what_belongs_to_another_query_of_the_same_name_is_taken_only_when_it_is_lost_and_somebody_says_so() {
    let location = Path::new("/shared/t");
    let another = Owner { query_id: "another".to_owned(), ..me(2) };
    let refused =
        |found: &Owner, home, take| owner::decide_foreign(location, found, home, take).map_err(|e| e.to_string());
    let living = "/shared/t belongs to pipeline revenue_5m of the checkpoint /c/revenue_5m, which is there and is another \
                  pipeline of the same name; choose another LOCATION, or run that one with --checkpoint /c/revenue_5m. A \
                  full refresh does not delete its rows";
    for take in [false, true] {
        assert_eq!(refused(&another, Home::Living, take).unwrap_err(), living);
        assert!(refused(&another, Home::Unclear, take).unwrap_err().contains("damaged or cannot be read"));
    }
    let lost = "/shared/t belongs to pipeline revenue_5m of the checkpoint /c/revenue_5m, which is not there. Point \
                --checkpoint at where it is now, or choose another LOCATION; or, if it is lost, delete its rows and begin \
                anew with `--full-refresh --take-tables`";
    assert_eq!(refused(&another, Home::Lost, false).unwrap_err(), lost);
    assert!(refused(&another, Home::Elsewhere, false).unwrap_err().contains("may be on the machine here"));
    assert_eq!(refused(&another, Home::Lost, true), Ok(()));
    assert_eq!(refused(&another, Home::Elsewhere, true), Ok(()));

    // A plain run never takes anything, and another name is nobody's twin.
    let seen = |owner| Observed { owner, example: None };
    let unowned = |owner, home| owner::decide_unowned(location, &seen(owner), "revenue_5m", home);
    assert!(matches!(unowned(Some(another.clone()), Home::Living), Err(LakeError::OwnedByLiving { .. })));
    assert!(matches!(unowned(Some(another.clone()), Home::Lost), Err(LakeError::OwnedByLost { .. })));
    let other = Owner { pipeline: "other".to_owned(), ..another };
    assert!(matches!(unowned(Some(other), Home::Lost), Err(LakeError::OwnedByAnother { .. })));
    assert!(unowned(None, Home::Living).is_ok());
}

#[test]
fn files_without_checkpoint_or_mark_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write_one(dir.path());
    let error = check_unowned(dir.path(), "revenue_5m").unwrap_err();
    assert!(matches!(error, LakeError::FilesButNoCheckpoint { .. }), "{error}");
    let error = owner::claim(dir.path(), &me(1)).unwrap_err();
    assert!(matches!(error, LakeError::FilesButNoOwner { .. }), "{error}");
    assert!(error.to_string().contains(MARK) && error.to_string().contains(".parquet"), "{error}");
    assert!(!mark(dir.path()).exists());
}

#[test]
fn hidden_files_are_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".gitkeep"), "").unwrap();
    prepare(dir.path()).unwrap();
    check_unowned(dir.path(), "revenue_5m").unwrap();
    owner::claim(dir.path(), &me(1)).unwrap();
}

#[test]
fn a_damaged_mark_is_named() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &me(1)).unwrap();
    let whole = fs::read_to_string(mark(dir.path())).unwrap();
    let other = whole.replace("\"generation\": 1", "\"generation\": 2");
    assert_ne!(whole, other);
    for content in ["", "{", "v1 0\n{}", &whole[..whole.len() - 2], &other] {
        fs::write(mark(dir.path()), content).unwrap();
        let error = owner::claim(dir.path(), &me(1)).unwrap_err();
        assert!(matches!(error, LakeError::DamagedOwner { .. }), "{content}: {error}");
        assert!(error.to_string().contains(MARK), "{error}");
    }
    fs::write(mark(dir.path()), whole.replacen("v1", "v9", 1)).unwrap();
    let error = owner::claim(dir.path(), &me(1)).unwrap_err();
    assert!(matches!(error, LakeError::NewerOwner { .. }), "{error}");
    assert!(error.to_string().contains(MARK) && error.to_string().contains("newer Sluicebox"), "{error}");
}

#[test]
fn what_is_no_file_in_the_place_of_a_mark_is_named_and_the_folder_is_not_taken_for_unowned() {
    type Put = fn(&Path);
    let kinds: [(&str, Put); 3] = [
        ("a socket", |at| drop(UnixListener::bind(at).unwrap())),
        ("a folder", |at| fs::create_dir(at).unwrap()),
        ("a link that leads nowhere", |at| symlink("/nowhere", at).unwrap()),
    ];
    for (kind, put) in kinds {
        let dir = tempfile::tempdir().unwrap();
        let location = dir.path().join("sales");
        prepare(&location).unwrap();
        // Both where the mark is made and where older versions had it.
        for place in [mark(&location), location.join(MARK)] {
            put(&place);
            let refused = [
                owner::claim(&location, &me(1)).unwrap_err(),
                owner::check_claim(&location, &me(1)).unwrap_err(),
                check_unowned(&location, "revenue_5m").unwrap_err(),
                owner::read(&location).unwrap_err(),
            ];
            for error in refused {
                assert!(matches!(error, LakeError::DamagedOwner { .. }), "{kind}: {error}");
                let told = error.to_string();
                assert!(told.contains(place.to_str().unwrap()) && told.contains(kind), "{kind}: {told}");
            }
            assert!(owner::is_marked(&location), "{kind}: it is somebody's");
            if place.symlink_metadata().unwrap().is_dir() {
                fs::remove_dir(&place).unwrap();
            } else {
                fs::remove_file(&place).unwrap();
            }
        }
        owner::claim(&location, &me(1)).unwrap();
    }
}

#[test]
fn a_mark_lies_beside_its_folder_and_that_of_an_older_version_moves_there_under_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("sales");
    prepare(&location).unwrap();
    owner::claim(&location, &me(1)).unwrap();
    assert_eq!(mark(&location), dir.path().join(".sales_sluicebox_owner"));
    let visible: Vec<_> = walk(&location).into_iter().filter(|p| !p.starts_with(location.join("_staging"))).collect();
    assert!(visible.is_empty(), "polars refuses a folder with any file that is not Parquet: {visible:?}");

    fs::rename(mark(&location), location.join(MARK)).unwrap();
    assert_eq!(owner::read(&location).unwrap(), Some(me(1)), "as older versions wrote it");
    owner::claim(&location, &me(1)).unwrap();
    let held = owner::hold(&location).unwrap();
    assert!(held.is_some());
    sweep(&location, 2).unwrap();
    assert!(mark(&location).is_file() && !location.join(MARK).exists());
    assert_eq!(owner::read(&location).unwrap(), Some(me(1)));
    assert!(matches!(owner::hold(&location), Err(LakeError::HeldFolder { .. })), "it is the same file");
    drop(held);

    let link = dir.path().join("link");
    symlink(&location, &link).unwrap();
    assert_eq!(owner::read(&link).unwrap(), Some(me(1)), "by whatever name the folder is reached");
}

#[test]
fn a_mark_that_is_replaced_has_one_holder_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("sales");
    prepare(&location).unwrap();
    owner::claim(&location, &me(1)).unwrap();
    let first = owner::hold(&location).unwrap().unwrap();
    // Another run has opened the mark, and is about to lock it.
    let waiting = fs::File::open(mark(&location)).unwrap();
    let moved = Owner { checkpoint: "/elsewhere".to_owned(), ..me(1) };
    owner::replace(&location, &moved).unwrap();
    let second = owner::hold(&location).unwrap().unwrap();
    drop(first);
    waiting.try_lock().unwrap();
    assert!(matches!(owner::hold(&location), Err(LakeError::HeldFolder { .. })), "it is the new one that counts");
    drop(second);
    assert!(owner::hold(&location).unwrap().is_some());
    assert_eq!(owner::read(&location).unwrap(), Some(moved));
}

#[test]
fn a_mark_of_a_version_that_did_not_say_its_machine_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("sales");
    prepare(&location).unwrap();
    owner::claim(&location, &me(1)).unwrap();
    let whole = fs::read_to_string(mark(&location)).unwrap();
    let (_, body) = whole.split_once('\n').unwrap();
    let old = body.replace(",\n  \"host\": \"here\"", "");
    assert_ne!(old, body);
    let sealed = format!("v1 {}\n{old}", sluicebox_durable::checksum(old.as_bytes()));
    fs::write(mark(&location), sealed).unwrap();
    let found = owner::read(&location).unwrap().unwrap();
    assert_eq!(found, Owner { host: String::new(), ..me(1) });
    assert!(found.is_same(&me(1)) && !found.is_at(&me(1)));
}

#[test]
fn a_folder_that_was_removed_takes_its_mark_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("sales");
    prepare(&location).unwrap();
    owner::claim(&location, &me(1)).unwrap();
    write_one(&location);
    fs::remove_dir_all(&location).unwrap();
    check_unowned(&location, "another").unwrap();
    prepare(&location).unwrap();
    let another = Owner { query_id: "another".to_owned(), ..me(1) };
    owner::claim(&location, &another).unwrap();
    assert_eq!(owner::read(&location).unwrap(), Some(another));
}

#[test]
fn a_table_inside_a_table_is_refused_from_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let (outer, inner) = (dir.path().join("gold"), dir.path().join("gold/revenue"));
    prepare(&inner).unwrap();
    owner::claim(&inner, &me(1)).unwrap();
    write_one(&inner);
    prepare(&outer).unwrap();
    assert!(matches!(owner::claim(&outer, &me(1)), Err(LakeError::Nested { .. })));
    assert!(matches!(owner::clear(&outer, &[super::QUERY]), Err(LakeError::Nested { .. })));
    assert_eq!(glob(&inner).len(), 2, "nothing of the inner table is deleted");

    let deeper = inner.join("x");
    prepare(&deeper).unwrap();
    assert!(matches!(check_unowned(&deeper, "revenue_5m"), Err(LakeError::Nested { .. })));
}

#[test]
fn a_location_leads_where_its_links_do_also_after_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("there")).unwrap();
    symlink(root.join("there"), root.join("link")).unwrap();
    for (location, leads_to) in [
        ("link/t", "there/t"),
        ("none/t", "none/t"),
        ("none/../link/t", "there/t"),
        ("none/deeper/../../link/t", "there/t"),
        ("none/deeper/../t", "none/t"),
        ("link/none/../t", "there/t"),
    ] {
        assert_eq!(real_path(&root.join(location)).unwrap(), root.join(leads_to), "{location}");
    }
}

#[test]
fn tables_are_listed_once_they_have_a_published_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(list_tables(&dir.path().join("none")).unwrap().is_empty());
    for folder in ["gold/revenue_5m", "bronze/sales", "dq/p/metrics", "quarantine/p/silver_sales/batch_id=0"] {
        write_one(&dir.path().join(folder));
    }
    table(&dir.path().join("silver/staged_only"), &[]).stage_files(&key(1, 1), &[rows(0, &[(None, None)])]).unwrap();
    fs::create_dir_all(dir.path().join("late/empty")).unwrap();
    fs::create_dir_all(dir.path().join(".log/x")).unwrap();
    let tables: Vec<String> =
        list_tables(dir.path()).unwrap().into_iter().map(|t| format!("{}.{}", t.layer, t.table)).collect();
    assert_eq!(tables, ["bronze.sales", "gold.revenue_5m", "quarantine.silver_sales", "dq.p_metrics"]);
}

#[test]
fn what_is_no_folder_in_the_place_of_a_layer_keeps_nobody_from_the_others() {
    let dir = tempfile::tempdir().unwrap();
    write_one(&dir.path().join("gold/revenue_5m"));
    for layer in ["dq", "quarantine", "late", "dead_letters", "bronze"] {
        fs::write(dir.path().join(layer), "no folder").unwrap();
    }
    let tables = list_tables(dir.path()).unwrap();
    assert_eq!(tables.iter().map(|t| t.table.as_str()).collect::<Vec<_>>(), ["revenue_5m"]);
}

#[test]
fn a_table_lies_where_its_mark_is_however_deep() {
    let dir = tempfile::tempdir().unwrap();
    let marked = ["gold/sales/a", "gold/sales/b", "gold/sales_b", "raw/orders", "top", "nest/y/z/deep"];
    for folder in marked {
        let folder = dir.path().join(folder);
        prepare(&folder).unwrap();
        owner::claim(&folder, &me(1)).unwrap();
        write_one(&folder);
    }
    // Without a mark a folder is a table in a layer alone; what a table has below it is no other.
    for folder in ["bronze/foreign/x=1", "raw/foreign", "top/day=1/more"] {
        write_one(&dir.path().join(folder));
    }
    let tables = list_tables(dir.path()).unwrap();
    let names: Vec<String> = tables.iter().map(|t| format!("{}.{}", t.layer, t.table)).collect();
    let expected =
        ["bronze.foreign", "gold.sales_a", "gold.sales/b", "gold.sales_b", "data.top", "nest.y_z_deep", "raw.orders"];
    assert_eq!(names, expected);
}

fn beside(pipeline: &str, output: &str) -> Owner {
    Owner { pipeline: pipeline.to_owned(), table: output.to_owned(), ..me(1) }
}

#[test]
fn what_an_earlier_version_put_beside_the_tables_is_one_view_with_what_came_later() {
    let dir = tempfile::tempdir().unwrap();
    // Of the pipeline `sales` with the source `sales`: the new place lies in the old one.
    let (old, new) = (dir.path().join("dead_letters/sales"), dir.path().join("dead_letters/sales/sales"));
    for folder in [&old, &new] {
        prepare(folder).unwrap();
        owner::claim(folder, &beside("sales", "dead letters sales")).unwrap();
        write_one(&folder.join("batch_id=0"));
    }
    let other = dir.path().join("dead_letters/other/refunds");
    write_one(&other.join("batch_id=3"));
    let tables = list_tables(dir.path()).unwrap();
    let names: Vec<&str> = tables.iter().map(|t| t.table.as_str()).collect();
    assert_eq!(names, ["refunds", "sales"]);
    assert_eq!(tables[1].paths().collect::<Vec<_>>(), [&new, &old]);
    assert!(tables[1].is_beside() && tables[0].older.is_none());
    // Another pipeline with a source of that name: now the name alone would not tell which.
    write_one(&dir.path().join("dead_letters/other/sales/batch_id=0"));
    let tables = list_tables(dir.path()).unwrap();
    let names: Vec<&str> = tables.iter().map(|t| t.table.as_str()).collect();
    assert_eq!(names, ["other_sales", "refunds", "sales_sales"]);
    // A refresh of the outer one leaves the inner one alone.
    owner::clear(&old, &[super::QUERY]).unwrap();
    assert_eq!((glob(&old.join("batch_id=0")).len(), glob(&new).len()), (0, 2));
}

#[test]
fn what_has_no_location_of_its_own_is_not_told_to_choose_another() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &beside("sales", "dead letters sales")).unwrap();
    let told = [
        check_unowned(dir.path(), "sales").unwrap_err(),
        check_unowned(dir.path(), "other").unwrap_err(),
        owner::claim(dir.path(), &Owner { query_id: "x".to_owned(), ..beside("sales", "dead letters sales") })
            .unwrap_err(),
    ];
    for error in told.map(|e| e.to_string()) {
        assert!(error.contains("choose another 'pipeline.name'") && !error.contains("LOCATION"), "{error}");
    }
}
