//! Frames in, frames out: known answers, and agreement with the streaming pieces.

use polars::prelude::{AnyValue, DataFrame, DataType, IntoLazy, NamedFrom, Series, TimeUnit, col, df};
use proptest::prelude::*;

use super::*;
use crate::join::{Event, EventId, Interval, IntervalJoin};
use crate::window::{Sliding, Tumbling};

fn all(frame: &DataFrame) -> Vec<Vec<String>> {
    let text = |value: AnyValue| match value {
        AnyValue::Null => "-".to_owned(),
        AnyValue::String(text) => text.to_owned(),
        other => other.to_string(),
    };
    let cells = |row| frame.columns().iter().map(move |column| column.get(row).map_or("?".to_owned(), text));
    (0..frame.height()).map(|row| cells(row).collect()).collect()
}

fn integers(frame: &DataFrame, name: &str) -> Vec<Option<i64>> {
    let column = frame.column(name).unwrap_or_else(|_| panic!("{name} in {frame}")).cast(&DataType::Int64).unwrap();
    column.i64().unwrap().iter().collect()
}

fn aggregation(name: &str, column: Option<&str>, function: &str) -> Aggregation {
    Aggregation { name: name.into(), column: column.map(Into::into), function: Function::named(function).unwrap() }
}

fn windowing(keys: &[&str], aggregations: &[(&str, Option<&str>, &str)], delay_us: Option<i64>) -> Windowing {
    Windowing {
        time: "at".into(),
        keys: keys.iter().map(ToString::to_string).collect(),
        aggregations: aggregations
            .iter()
            .map(|(name, column, function)| aggregation(name, *column, function))
            .collect(),
        delay_us,
        partition: None,
    }
}

fn sales() -> DataFrame {
    df![
        "at" => [0i64, 70, 30, 180, 59, 61, 200],
        "shop" => [Some("a"), Some("a"), Some("b"), Some("a"), Some("a"), None, Some("b")],
        "cents" => [Some(100i64), Some(200), Some(300), None, Some(500), Some(600), Some(700)],
        "rate" => [1.5f64, 2.5, f64::NAN, 4.0, 5.0, 6.0, 7.0],
    ]
    .unwrap()
}

#[test]
fn late_rows_are_summed_apart() -> Result<()> {
    let columns = [("rows", None, "count"), ("sales", Some("cents"), "sum")];
    // The row at 180 closes the window that ends at 60, so the row at 59 is late; the one at 61 is not.
    let minutes = Tumbling::new(60).unwrap();
    let frame = tumbling(&sales(), &minutes, &windowing(&[], &columns, Some(120)))?;
    let names: Vec<_> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["window_start", "window_end", "rows", "sales", "late_rows", "late_sales", "final"]);
    let expected = [
        ["0", "60", "2", "400", "1", "500", "true"],
        ["60", "120", "2", "800", "0", "0", "false"],
        ["180", "240", "2", "700", "0", "0", "false"],
    ];
    assert_eq!(all(&frame), expected);
    // Without a delay nothing is late, and there are no columns for it.
    let frame = tumbling(&sales(), &minutes, &windowing(&["shop"], &columns, None))?;
    let expected = [
        ["0", "60", "a", "2", "600"],
        ["0", "60", "b", "1", "300"],
        ["60", "120", "-", "1", "600"],
        ["60", "120", "a", "1", "200"],
        ["180", "240", "a", "1", "0"],
        ["180", "240", "b", "1", "700"],
    ];
    assert_eq!(all(&frame), expected);
    Ok(())
}

#[test]
fn every_function_skips_what_is_absent() -> Result<()> {
    let columns = ["count", "sum", "min", "max", "mean"].map(|function| (function, Some("rate"), function));
    let hour = Tumbling::new(3600).unwrap();
    let frame = tumbling(&sales(), &hour, &windowing(&[], &columns, None))?;
    assert_eq!(all(&frame), [["0", "3600", "6", "26.0", "1.5", "7.0", "4.333333"]]);
    let columns = ["count", "sum", "min", "max", "mean"].map(|function| (function, Some("cents"), function));
    let frame = tumbling(&sales(), &hour, &windowing(&[], &columns, Some(0)))?;
    let expected = ["0", "3600", "6", "2400", "100", "700", "400.0", "0", "0", "-", "-", "-", "false"];
    assert_eq!(all(&frame), [expected]);
    Ok(())
}

#[test]
fn the_slowest_partition_holds_the_watermark_back() -> Result<()> {
    let mut frame = sales();
    frame.with_column(Series::new("partition".into(), [0i64, 1, 1, 0, 1, 0, 0]).into())?;
    let mut of = windowing(&[], &[("rows", None, "count")], Some(120));
    of.partition = Some("partition".into());
    let rows = tumbling(&frame, &Tumbling::new(60).unwrap(), &of)?;
    assert_eq!(integers(&rows, "late_rows"), [Some(0); 3], "partition 1 has only come to 70");
    Ok(())
}

#[test]
fn times_keep_their_kind() -> Result<()> {
    let of = windowing(&[], &[("rows", None, "count")], None);
    let minute = Tumbling::new(60_000_000).unwrap();
    let micros = Series::new("at".into(), [-1i64, 59_999_999]);
    for (unit, scale) in [(TimeUnit::Milliseconds, 1000), (TimeUnit::Microseconds, 1)] {
        let at = (&micros / scale).cast(&DataType::Datetime(unit, None))?;
        let frame = tumbling(&DataFrame::new_infer_height(vec![at.into()])?, &minute, &of)?;
        assert_eq!(frame.column("window_end")?.dtype(), &DataType::Datetime(TimeUnit::Microseconds, None));
        assert_eq!(integers(&frame, "window_start").last(), Some(&Some(0)));
    }
    let nanos =
        Series::new("at".into(), [-1i64, 59_999_999_999]).cast(&DataType::Datetime(TimeUnit::Nanoseconds, None))?;
    let frame = tumbling(&DataFrame::new_infer_height(vec![nanos.into()])?, &minute, &of)?;
    assert_eq!(integers(&frame, "window_start"), [Some(-60_000_000), Some(0)], "rounded down, before 1970 too");
    let days = Series::new("at".into(), [1i32]).cast(&DataType::Date)?;
    let frame = tumbling(&DataFrame::new_infer_height(vec![days.into()])?, &minute, &of)?;
    assert_eq!(integers(&frame, "window_start"), [Some(86_400_000_000)]);
    Ok(())
}

#[test]
fn sessions_end_with_silence() -> Result<()> {
    let columns = [("rows", None, "count"), ("sales", Some("cents"), "sum")];
    let frame = session(&sales(), 60, &windowing(&["shop"], &columns, None))?;
    let expected = [
        ["0", "130", "a", "3", "800"],
        ["30", "90", "b", "1", "300"],
        ["61", "121", "-", "1", "600"],
        ["180", "240", "a", "1", "0"],
        ["200", "260", "b", "1", "700"],
    ];
    assert_eq!(all(&frame), expected);
    // In one sequence the session from 0 is closed at 130 by the row at 180, if nothing waits; 59 and 61 come too late for it.
    let frame = session(&sales(), 60, &windowing(&[], &columns, Some(0)))?;
    assert_eq!(all(&frame)[0], ["0", "130", "3", "600", "2", "1100", "true"]);
    assert!(matches!(session(&sales(), 0, &windowing(&[], &columns, None)), Err(Error::Settings(_))));
    Ok(())
}

fn matching(keys: &[&str]) -> Matching {
    Matching {
        keys: keys.iter().map(ToString::to_string).collect(),
        left_time: "at".into(),
        right_time: "at".into(),
        suffix: "_right".into(),
    }
}

#[test]
fn pairs_and_attributions_of_a_known_case() -> Result<()> {
    let carts = df!["user" => [7i64, 7, 8, 9], "at" => [0i64, 60, 0, 0], "id" => ["c1", "c2", "c3", "c4"]]?;
    let sales = df![
        "user" => [Some(7.0f64), Some(7.0), Some(7.0), Some(8.0), None],
        "at" => [300i64, 120, 180, 1201, 0],
        "id" => ["p3", "p1", "p2", "p4", "p5"],
    ]?;
    let on = Interval::new(0, 1200).unwrap();
    let pairs = interval_join(&carts, &sales, &on, &matching(&["user"]))?;
    let names: Vec<_> = pairs.get_column_names().into_iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["user", "at", "id", "at_right", "id_right"]);
    let ids = |frame: &DataFrame| -> Vec<[String; 2]> {
        all(frame).into_iter().map(|row| [row[2].clone(), row[4].clone()]).collect()
    };
    assert_eq!(
        ids(&pairs),
        [["c1", "p3"], ["c2", "p3"], ["c1", "p1"], ["c2", "p1"], ["c1", "p2"], ["c2", "p2"]],
        "8 is one too late, 9 bought nothing, and one has no user"
    );
    let attributed = attribute(&carts, &sales, &on, &matching(&["user"]), Some("id"), Some("id"))?;
    assert_eq!(ids(&attributed), [["c2", "p1"], ["c1", "p2"]]);
    Ok(())
}

#[test]
fn ids_decide_between_equal_times() -> Result<()> {
    let left = df!["at" => [0i64, 0], "number" => [10i64, 9], "text" => ["10", "9"]]?;
    let right = df!["at" => [5i64]]?;
    let on = Interval::new(0, 10).unwrap();
    let taken = |id| -> Result<_> { Ok(integers(&attribute(&left, &right, &on, &matching(&[]), id, None)?, "number")) };
    assert_eq!(taken(Some("number"))?, [Some(10)]);
    assert_eq!(taken(Some("text"))?, [Some(9)], "as text, 9 is above 10");
    assert_eq!(taken(None)?, [Some(9)], "the later row");
    Ok(())
}

#[test]
fn copies_and_contradictions_are_told_apart() -> Result<()> {
    let frame = df![
        "id" => [Some("a"), Some("b"), Some("a"), None, Some("a"), None, Some("b")],
        "price" => [Some(1.0f64), None, Some(1.0), Some(3.0), Some(2.0), Some(3.0), Some(f64::NAN)],
        "row" => [0i64, 1, 2, 3, 4, 5, 6],
    ]?;
    let rows =
        |given: &Deduplicated| [&given.kept, &given.duplicates, &given.conflicts].map(|frame| integers(frame, "row"));
    let some = |rows: &[i64]| rows.iter().copied().map(Some).collect::<Vec<_>>();
    let given = deduplicate(&frame, "id", Some(&["price".to_owned()]))?;
    assert_eq!(rows(&given), [some(&[0, 1, 3, 5]), some(&[2, 6]), some(&[4])]);
    let given = deduplicate(&frame, "id", None)?;
    assert_eq!(rows(&given), [some(&[0, 1, 3, 5]), some(&[]), some(&[2, 4, 6])], "row differs in all");
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said() -> Result<()> {
    let minute = Tumbling::new(60).unwrap();
    let count = [("rows", None, "count")];
    let text = |result: Result<DataFrame>| match result {
        Err(Error::Data(text)) => format!("data: {text}"),
        Err(Error::Settings(text)) => format!("settings: {text}"),
        Ok(frame) => panic!("{frame}"),
    };
    let of = Windowing { time: "when".into(), ..windowing(&[], &count, None) };
    let said = text(tumbling(&sales(), &minute, &of));
    assert_eq!(said, "data: there is no column when in the table; it has at, shop, cents, rate");
    let of = Windowing { time: "shop".into(), ..windowing(&[], &count, None) };
    assert!(text(tumbling(&sales(), &minute, &of)).starts_with("data: the times in column shop have type str"));
    let of = Windowing { time: "cents".into(), ..windowing(&[], &count, None) };
    assert_eq!(text(tumbling(&sales(), &minute, &of)), "data: row 3 has no time in column cents");
    let of = windowing(&["shop"], &[("shop", None, "count")], None);
    assert!(text(tumbling(&sales(), &minute, &of)).contains("two columns of the result would be named shop"));
    let of = windowing(&[], &[("sum", Some("shop"), "sum")], None);
    assert!(text(tumbling(&sales(), &minute, &of)).starts_with("data: column shop has type str"));
    let of = windowing(&[], &[("sum", None, "sum")], None);
    assert!(text(tumbling(&sales(), &minute, &of)).starts_with("settings: the aggregation sum needs"));
    let large = df!["at" => [0i64, 1], "cents" => [i64::MAX, 1]]?;
    let of = windowing(&[], &[("sum", Some("cents"), "sum")], None);
    assert_eq!(text(tumbling(&large, &minute, &of)), "data: the sum sum of column cents does not fit into 64 bits");
    assert!(text(tumbling(&sales(), &minute, &windowing(&[], &count, Some(-1)))).starts_with("settings: the delay"));
    assert!(Function::named("median").is_err());
    let other = sales().lazy().with_columns([col("at").alias("shop")]).collect()?;
    let on = Interval::new(0, 1).unwrap();
    let said = text(interval_join(&sales(), &other, &on, &matching(&["shop"])));
    assert_eq!(
        said,
        "data: the right table: the key column shop holds text in one table and number in the other; convert one of them"
    );
    let by = Matching { suffix: String::new(), ..matching(&["shop"]) };
    assert!(text(interval_join(&sales(), &sales(), &on, &by)).contains("choose another suffix"));
    assert!(text(attribute(&sales(), &sales(), &on, &matching(&["shop"]), Some("rate"), None)).contains("are floats"));
    assert!(text(attribute(&sales(), &sales(), &on, &matching(&[]), Some("shop"), None)).contains("row 5 has no id"));
    Ok(())
}

#[test]
fn no_rows_give_no_rows() -> Result<()> {
    let none = sales().head(Some(0));
    let of = windowing(&["shop"], &[("rows", None, "count"), ("sales", Some("cents"), "sum")], Some(5));
    let (minute, on) = (Tumbling::new(60).unwrap(), Interval::new(0, 1).unwrap());
    for frame in [tumbling(&none, &minute, &of)?, session(&none, 60, &of)?] {
        assert_eq!((frame.height(), frame.width()), (0, 8));
    }
    assert_eq!(interval_join(&none, &sales(), &on, &matching(&["shop"]))?.height(), 0);
    assert_eq!(attribute(&sales(), &none, &on, &matching(&[]), None, None)?.height(), 0);
    assert_eq!(deduplicate(&none, "shop", None)?.kept.height(), 0);
    Ok(())
}

/// Key, time and value.
fn rows() -> impl Strategy<Value = Vec<(Option<u8>, i64, i64)>> {
    prop::collection::vec((prop::option::of(0u8..3), -100i64..100, -5i64..50), 0..50)
}

fn frame(rows: &[(Option<u8>, i64, i64)]) -> DataFrame {
    let keys: Vec<Option<String>> = rows.iter().map(|(key, ..)| key.map(|key| key.to_string())).collect();
    let times: Vec<i64> = rows.iter().map(|(_, time_us, _)| *time_us).collect();
    let values: Vec<i64> = rows.iter().map(|(.., value)| *value).collect();
    df!["key" => keys, "at" => times, "value" => values].unwrap()
}

/// Start, key, and the sum of in time and late.
fn totals(frame: &DataFrame) -> Vec<(Option<i64>, String, i64)> {
    let key = |row| frame.column("key").unwrap().get(row).unwrap().to_string();
    let sum = |row: usize| ["sum", "late_sum"].map(|name| integers(frame, name)[row].unwrap()).iter().sum();
    let starts = integers(frame, "window_start");
    starts.into_iter().enumerate().map(|(row, start)| (start, key(row), sum(row))).collect()
}

proptest! {
    #[test]
    fn totals_do_not_depend_on_the_order(
        (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        size_us in 1i64..40, slide_us in 1i64..40, delay_us in 0i64..50,
    ) {
        let of = windowing(&["key"], &[("sum", Some("value"), "sum")], Some(delay_us));
        let (one, other) = (frame(&rows), frame(&shuffled));
        let tumbling_windows = Tumbling::new(size_us).unwrap();
        let sliding_windows = Sliding::new(size_us.max(slide_us), slide_us).unwrap();
        let fixed = totals(&tumbling(&one, &tumbling_windows, &of).unwrap());
        prop_assert_eq!(&fixed, &totals(&tumbling(&other, &tumbling_windows, &of).unwrap()));
        let same = Sliding::new(size_us, size_us).unwrap();
        prop_assert_eq!(&fixed, &totals(&sliding(&one, &same, &of).unwrap()));
        prop_assert_eq!(totals(&sliding(&one, &sliding_windows, &of).unwrap()), totals(&sliding(&other, &sliding_windows, &of).unwrap()));
        prop_assert_eq!(totals(&session(&one, size_us, &of).unwrap()), totals(&session(&other, size_us, &of).unwrap()));
        prop_assert_eq!(fixed.iter().map(|(.., sum)| sum).sum::<i64>(), rows.iter().map(|(.., value)| value).sum::<i64>());
    }

    #[test]
    fn joins_agree_with_the_stream(lefts in rows(), rights in rows(), lower_us in -30i64..30, width_us in 0i64..40) {
        let on = Interval::new(lower_us, lower_us + width_us).unwrap();
        let (left, right) = (frame(&lefts), frame(&rights));
        let found = |frame: DataFrame| {
            let column = |name| integers(&frame, name).into_iter().flatten();
            let mut found: Vec<_> = column("row").zip(column("row_right")).collect();
            found.sort_unstable();
            found
        };
        let numbered = |mut frame: DataFrame| {
            let numbers: Vec<i64> = (0..frame.height() as i64).collect();
            frame.with_column(Series::new("row".into(), numbers).into()).unwrap();
            frame
        };
        let (left, right) = (numbered(left), numbered(right));
        let by = matching(&["key"]);
        let (mut pairs, mut attributions) = (Vec::new(), Vec::new());
        for key in 0..3 {
            let mut join = IntervalJoin::default();
            let number = |event: &Event| event.id.to_string().parse::<i64>().unwrap();
            let event = |row: usize, time_us| Event { time_us, id: EventId::new(format!("{row:04}").as_bytes()), payload: Box::default() };
            for (row, (_, time_us, _)) in rights.iter().enumerate().filter(|(_, row)| row.0 == Some(key)) {
                join.right(&on, event(row, *time_us));
            }
            for (row, (_, time_us, _)) in lefts.iter().enumerate().filter(|(_, row)| row.0 == Some(key)) {
                pairs.extend(join.left(&on, event(row, *time_us)).iter().map(|pair| (number(&pair.left), number(&pair.right))));
            }
            attributions.extend(join.drain(&on).iter().map(|pair| (number(&pair.left), number(&pair.right))));
        }
        pairs.sort_unstable();
        attributions.sort_unstable();
        prop_assert_eq!(found(interval_join(&left, &right, &on, &by).unwrap()), pairs);
        prop_assert_eq!(found(attribute(&left, &right, &on, &by, None, None).unwrap()), attributions);
    }
}
