//! How a job's files come: one after another, or all at once and large ones in parts.

use std::cell::Cell;

use futures_util::future::try_join_all;
use webmatrix_wire::{CellJob, FailureKind, Feature, Loaded};

use crate::client::Client;
use crate::report::Failure;

/// Bytes of a part: what browsers fetch on each of their few connections at a time.
const PART: usize = 2 << 20;

/// Fetches the files of a job, and counts how they came.
#[derive(Debug)]
pub(crate) struct Loader<'c> {
    client: &'c Client,
    at_once: bool,
    under_way: Cell<u32>,
    told: Cell<Loaded>,
}

impl<'c> Loader<'c> {
    /// As the job's features ask for it.
    pub(crate) fn of(cell: &CellJob, client: &'c Client) -> Self {
        let at_once = Feature::all(&cell.features).any(|feature| feature == Feature::ParallelLoad);
        Self { client, at_once, under_way: Cell::new(0), told: Cell::default() }
    }

    /// Whether the job asks for everything at once.
    pub(crate) const fn is_at_once(&self) -> bool {
        self.at_once
    }

    /// The device is being made from now on.
    pub(crate) fn note_device(&self) {
        let told = self.told.get();
        self.told.set(Loaded { beside_device: self.under_way.get() > 0, ..told });
    }

    /// How what was fetched came.
    pub(crate) fn told(&self) -> Loaded {
        self.told.get()
    }

    /// The files of these names, in their order.
    pub(crate) async fn files(&self, names: &[&str]) -> Result<Vec<Vec<u8>>, Failure> {
        let fetched = if self.at_once {
            try_join_all(names.iter().map(|name| self.in_parts(name))).await
        } else {
            let mut files = Vec::with_capacity(names.len());
            for name in names {
                match self.request(name, None).await {
                    Ok((file, _)) => files.push(file),
                    Err(error) => return Err(failed(error)),
                }
            }
            Ok(files)
        };
        fetched.map_err(failed)
    }

    /// A file: the first part says how long it is, the others are requested at once.
    async fn in_parts(&self, name: &str) -> Result<Vec<u8>, String> {
        let (mut bytes, length) = self.request(name, Some((0, PART))).await?;
        let start = bytes.len();
        let Some(length) = length.filter(|length| *length > start) else { return Ok(bytes) };
        bytes.resize(length, 0);
        let parts = bytes[start..].chunks_mut(PART).enumerate().map(|(at, room)| async move {
            let (part, _) = self.request(name, Some((start + at * PART, room.len()))).await?;
            if part.len() != room.len() {
                return Err(format!("{name}: {} bytes came of a part of {}", part.len(), room.len()));
            }
            room.copy_from_slice(&part);
            Ok(())
        });
        try_join_all(parts).await?;
        Ok(bytes)
    }

    /// A file, or so many bytes of it from an offset on, with the length of the whole where the server tells it.
    async fn request(
        &self,
        name: &str,
        part: Option<(usize, usize)>,
    ) -> Result<(Vec<u8>, Option<usize>), String> {
        let under_way = self.under_way.get() + 1;
        self.under_way.set(under_way);
        let told = self.told.get();
        let (requests, together) = (told.requests + 1, told.together.max(under_way));
        self.told.set(Loaded { requests, together, ..told });
        let fetched = self.client.part(name, part).await;
        self.under_way.set(self.under_way.get() - 1);
        let (bytes, length) = fetched?;
        let told = self.told.get();
        self.told.set(Loaded { bytes: told.bytes + bytes.len() as u64, ..told });
        Ok((bytes, length))
    }
}

fn failed(text: String) -> Failure {
    Failure::new(FailureKind::Error, "load", text)
}
