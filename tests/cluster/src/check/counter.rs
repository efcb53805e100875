//! Counters: names that are counted up by one, and never written or deleted.
//!
//! Each increment that was answered counts once, one that was not answered once or not at all. The numbers given
//! are all different, and who begins later gets a higher one; but in the moments when some nodes have noticed a
//! fault, or its end, and others have not, two may get the same number.

use super::{Context, Rule, Violation};
use crate::history::{Kind, Nanos, Op, Outcome};

pub(crate) fn check(context: &Context<'_>, ops: &[(usize, &Op)], found: &mut Vec<Violation>) {
    if context.is_partitioned() {
        // Two sides count on their own; nothing is promised about it.
        return;
    }
    let mut numbers: Vec<Counted> = Vec::new();
    for &(line, op) in ops {
        if op.o != Outcome::Ok {
            missing(ops, line, op, found);
            continue;
        }
        match op.r.as_deref().and_then(|text| text.parse::<u64>().ok()) {
            Some(number) => numbers.push(Counted { line, op, number }),
            None => found.push(violation(op, vec![line], "it is no number")),
        }
    }
    check_unique(context, &numbers, found);
    check_order(&numbers, found);
    check_bounds(ops, &numbers, found);
}

#[derive(Clone, Copy)]
struct Counted<'a> {
    line: usize,
    op: &'a Op,
    number: u64,
}

fn violation(op: &Op, lines: Vec<usize>, text: &str) -> Violation {
    Violation { rule: Rule::Counter, at: op.e, lines, text: format!("{}: {text}", op.n) }
}

fn missing(ops: &[(usize, &Op)], line: usize, op: &Op, found: &mut Vec<Violation>) {
    if op.o != Outcome::Missing {
        return;
    }
    let before = |other: &Op| other.k == Kind::Inc && other.o == Outcome::Ok && other.e < op.b;
    if let Some(&(inc, _)) = ops.iter().find(|(_, other)| before(other)) {
        found.push(violation(op, vec![inc, line], "it was counted up and is missing"));
    }
}

fn check_unique(context: &Context<'_>, numbers: &[Counted<'_>], found: &mut Vec<Violation>) {
    let mut given: Vec<&Counted<'_>> =
        numbers.iter().filter(|counted| counted.op.k == Kind::Inc).collect();
    given.sort_by_key(|counted| (counted.number, counted.op.e));
    for pair in given.windows(2) {
        let excused = pair.iter().all(|counted| context.is_being_noticed(counted.op));
        if pair[0].number == pair[1].number && !excused {
            let lines = vec![pair[0].line, pair[1].line];
            found.push(violation(pair[1].op, lines, "one number was given twice"));
        }
    }
}

/// Who begins when another has ended sees a higher number, or when it only reads, none that is lower.
fn check_order(numbers: &[Counted<'_>], found: &mut Vec<Violation>) {
    let mut by_end: Vec<&Counted<'_>> = numbers.iter().collect();
    by_end.sort_by_key(|counted| counted.op.e);
    let mut highest: Option<&Counted<'_>> = None;
    let mut ended = by_end.iter().peekable();
    for later in numbers {
        while let Some(earlier) = ended.next_if(|earlier| earlier.op.e < later.op.b) {
            if highest.is_none_or(|highest| earlier.number > highest.number) {
                highest = Some(earlier);
            }
        }
        let Some(earlier) = highest else { continue };
        // One number given twice has been told.
        if later.number < earlier.number {
            let lines = vec![earlier.line, later.line];
            found.push(violation(later.op, lines, "a lower number came after a higher one"));
        }
    }
}

/// No number is lower than the answered increments before it, or higher than all that had begun.
fn check_bounds(ops: &[(usize, &Op)], numbers: &[Counted<'_>], found: &mut Vec<Violation>) {
    let times = |answered: bool, time: fn(&Op) -> Nanos| {
        let counted = ops.iter().filter(|(_, op)| op.k == Kind::Inc);
        let counted = counted.filter(|(_, op)| !answered || op.o == Outcome::Ok);
        let mut times: Vec<Nanos> = counted.map(|(_, op)| time(op)).collect();
        times.sort_unstable();
        times
    };
    let (ends, begins) = (times(true, |op| op.e), times(false, |op| op.b));
    for counted in numbers {
        let least = ends.partition_point(|&end| end < counted.op.b) as u64;
        let most = begins.partition_point(|&begin| begin <= counted.op.e) as u64;
        if counted.number < least {
            let text = format!("it is {}, and {least} increments were answered", counted.number);
            found.push(violation(counted.op, vec![counted.line], &text));
        } else if counted.number > most {
            let text = format!("it is {}, and only {most} increments had begun", counted.number);
            found.push(violation(counted.op, vec![counted.line], &text));
        }
    }
}
