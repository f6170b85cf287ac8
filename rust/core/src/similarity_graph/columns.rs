//! Neighbour lists, and the same by neighbour.

use ndarray::{ArrayView1, ArrayView2};

use crate::{Error, Result, limits};

/// For each row the rows that it is similar to, -1 for none, and how similar.
#[derive(Clone, Copy, Debug)]
pub struct NeighbourLists<'a> {
    neighbours: ArrayView2<'a, i64>,
    similarities: ArrayView2<'a, f32>,
    /// Similarity of each row to itself, if the lists leave it out.
    own: Option<f32>,
}

impl<'a> NeighbourLists<'a> {
    /// Pairs the two arrays.
    ///
    /// # Errors
    /// [`Error::Array`] if their shapes differ.
    pub fn new(neighbours: &ArrayView2<'a, i64>, similarities: &ArrayView2<'a, f32>) -> Result<Self> {
        if neighbours.dim() == similarities.dim() {
            return Ok(Self { neighbours: *neighbours, similarities: *similarities, own: None });
        }
        let was =
            format!("neighbours of shape {:?}, similarities of {:?}", neighbours.dim(), similarities.dim());
        Err(Error::array("points", was, "two arrays of one shape (n, k)"))
    }

    /// Lists in which each row itself is left out.
    pub(super) fn with_own(self, own: f32) -> Self {
        Self { own: Some(own), ..self }
    }

    /// Number of rows.
    pub(super) fn n_rows(&self) -> usize {
        self.neighbours.nrows()
    }

    /// Number of places for neighbours.
    pub(super) fn n_places(&self) -> usize {
        self.neighbours.len()
    }

    fn rows(&self) -> impl Iterator<Item = (ArrayView1<'_, i64>, ArrayView1<'_, f32>)> {
        self.neighbours.outer_iter().zip(self.similarities.outer_iter())
    }
}

/// How similar row `row` is to a column's row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The similar row.
    pub row: u32,
    /// How similar it is.
    pub similarity: f32,
}

/// Edges by column: for each row those of the rows that are similar to it, in row order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    starts: Vec<usize>,
    edges: Vec<Edge>,
}

impl Columns {
    /// The edges of one column.
    #[must_use]
    pub fn column(&self, column: usize) -> &[Edge] {
        &self.edges[self.starts[column]..self.starts[column + 1]]
    }

    /// The edges of one column, to be changed in place.
    pub fn column_mut(&mut self, column: usize) -> &mut [Edge] {
        &mut self.edges[self.starts[column]..self.starts[column + 1]]
    }

    /// Number of edges in all columns.
    pub(super) fn n_edges(&self) -> usize {
        self.edges.len()
    }

    /// Number of columns.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Sorts the lists by neighbour, by counting.
    pub(super) fn of(lists: NeighbourLists<'_>) -> Result<Self> {
        let n_rows = lists.neighbours.nrows();
        limits::check_rows("points", n_rows)?;
        let mut starts = counted(lists)?;
        let mut edges = vec![Edge { row: 0, similarity: 0.0 }; starts[n_rows]];
        // The start of a column moves to its end, which is the start of the next.
        let mut add = |row: usize, neighbour: i64, similarity: f32| {
            if neighbour >= 0 {
                let place = &mut starts[neighbour as usize];
                edges[*place] = Edge { row: row as u32, similarity };
                *place += 1;
            }
        };
        for (row, (neighbours, similarities)) in lists.rows().enumerate() {
            if let Some(own) = lists.own {
                add(row, row as i64, own);
            }
            for (&neighbour, &similarity) in neighbours.iter().zip(similarities) {
                add(row, neighbour, similarity);
            }
        }
        starts.rotate_right(1);
        starts[0] = 0;
        let columns = Self { starts, edges };
        columns.check_unique()?;
        Ok(columns)
    }

    fn check_unique(&self) -> Result<()> {
        for column in 0..self.n_columns() {
            if let Some(pair) = self.column(column).windows(2).find(|pair| pair[0].row == pair[1].row) {
                let was = format!("row {} lists neighbour {column} twice", pair[0].row);
                return Err(Error::array("points", was, "a neighbour at most once a row"));
            }
        }
        Ok(())
    }

    /// The edges by row: for each row those of the rows that it is similar to, in row order.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut starts = vec![0; self.starts.len()];
        for edge in &self.edges {
            starts[edge.row as usize + 1] += 1;
        }
        accumulate(&mut starts);
        let mut next = starts.clone();
        let mut edges = vec![Edge { row: 0, similarity: 0.0 }; self.edges.len()];
        for column in 0..self.n_columns() {
            for edge in self.column(column) {
                let place = &mut next[edge.row as usize];
                edges[*place] = Edge { row: column as u32, similarity: edge.similarity };
                *place += 1;
            }
        }
        Self { starts, edges }
    }
}

/// Where the edges of each neighbour start, the total last. Checks every number on the way.
fn counted(lists: NeighbourLists<'_>) -> Result<Vec<usize>> {
    let n_rows = lists.neighbours.nrows();
    let mut starts = vec![usize::from(lists.own.is_some()); n_rows + 1];
    starts[0] = 0;
    for (row, (neighbours, similarities)) in lists.rows().enumerate() {
        for (place, (&neighbour, &similarity)) in neighbours.iter().zip(similarities).enumerate() {
            if neighbour == -1 {
                continue;
            }
            if neighbour < 0 || neighbour as u64 >= n_rows as u64 {
                let was = format!("neighbours[{row}, {place}] is {neighbour}, and there are {n_rows} rows");
                return Err(Error::array("points", was, "numbers of rows, counted from 0, and -1 for none"));
            }
            if !similarity.is_finite() {
                let was = format!("similarities[{row}, {place}] is {similarity}");
                return Err(Error::array("points", was, "finite similarities"));
            }
            starts[neighbour as usize + 1] += 1;
        }
    }
    accumulate(&mut starts);
    Ok(starts)
}

fn accumulate(counts: &mut [usize]) {
    let mut total = 0;
    for count in counts {
        total += *count;
        *count = total;
    }
}
