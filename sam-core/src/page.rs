//! One page of a listing, the same for everything that is listed.

/// What a listing gives at once, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The things listed; the listing's own query says how many at most, and in which order.
    pub items: Vec<T>,
    /// Where the next page begins, or `None` on the last. Opaque: pass it back as `after`.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page.
    pub const fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }

    /// Takes the first `limit` of what is left to list. Where more follow, `place` tells where the
    /// last one taken stands.
    pub fn first(
        left: impl IntoIterator<Item = T>,
        limit: usize,
        place: impl FnOnce(&T) -> String,
    ) -> Self {
        let mut items: Vec<T> = left.into_iter().take(limit.saturating_add(1)).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Self { items, next }
    }

    /// Makes a page of something else, with the same next page.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(make).collect(), next: self.next }
    }
}

// Derived, it would ask for `T: Default`, which things that are listed have no reason to be.
impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_that_is_not_the_last_names_the_next() {
        let page = |count: u32| Page::first(0..count, 2, ToString::to_string);
        assert_eq!(page(0), Page::default());
        assert_eq!(page(2), Page::new(vec![0, 1], None));
        assert_eq!(page(3), Page::new(vec![0, 1], Some("1".to_owned())));
    }
}
