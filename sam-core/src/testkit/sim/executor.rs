//! An executor for one thread that picks the next task by seed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::entropy::SeededEntropy;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Slot {
    task: Option<Task>,
    ready: Arc<Flag>,
    waker: Waker,
}

impl Slot {
    fn new(task: Task) -> Self {
        let ready = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&ready));
        Self { task: Some(task), ready, waker }
    }

    fn is_ready(&self) -> bool {
        self.task.is_some() && self.ready.0.load(Ordering::Relaxed)
    }
}

/// Names a task; it keeps its name when it is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskId(usize);

/// What one step of the executor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// Nobody can go on until time passes.
    Idle,
    /// One task went on to its next waiting point.
    Task,
}

/// Runs tasks one waiting point at a time.
#[derive(Default)]
pub(super) struct Executor {
    slots: Vec<Slot>,
}

impl Executor {
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> TaskId {
        self.slots.push(Slot::new(Box::pin(task)));
        TaskId(self.slots.len() - 1)
    }

    /// Drops a task where it stands, a crash, and starts another in its place.
    pub(super) fn crash(
        &mut self,
        id: TaskId,
        successor: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Some(slot) = self.slots.get_mut(id.0) {
            // A new slot: what still wakes the old task wakes nobody.
            *slot = Slot::new(Box::pin(successor));
        }
    }

    /// Returns whether a task has ended.
    pub(super) fn is_over(&self, id: TaskId) -> bool {
        self.slots.get(id.0).is_none_or(|slot| slot.task.is_none())
    }

    /// Polls one ready task, chosen by `choice`.
    pub(super) fn step(&mut self, choice: &SeededEntropy) -> Ran {
        let ready = self.slots.iter().filter(|slot| slot.is_ready()).count();
        let Ok(pick) = usize::try_from(choice.below(ready as u64)) else { return Ran::Idle };
        let Some(slot) = self.slots.iter_mut().filter(|slot| slot.is_ready()).nth(pick) else {
            return Ran::Idle;
        };
        slot.ready.0.store(false, Ordering::Relaxed);
        if let Some(task) = &mut slot.task
            && task.as_mut().poll(&mut Context::from_waker(&slot.waker)) == Poll::Ready(())
        {
            slot.task = None;
        }
        Ran::Task
    }
}

/// Gives way once: a point where others may run, and where a crash may strike.
pub(super) async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
