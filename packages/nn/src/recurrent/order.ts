// In which order sequences of different lengths are packed: PyTorch's, also among equal lengths. Knows no tensors.

// Up to here libstdc++ sorts by insertion.
const few = 16

/**
 * Positions of `lengths` from the longest to the shortest. PyTorch asks `torch.sort` for it, which on a CPU is the `std::sort` of
 * libstdc++ (bits/stl_algo.h): up to 16 equal ones keep their order, among more they do not. Rows of packed data and of
 * dropout between layers follow this order, so it has to be the same one for the same numbers.
 */
export function fallingOrder(lengths: readonly number[]): number[] {
  const order = lengths.map((_, i) => i)
  const before = (a: number, b: number): boolean => lengths[order[a]] > lengths[order[b]]
  const swap = (a: number, b: number): void => void ([order[a], order[b]] = [order[b], order[a]])

  /** Where the middle one of three places by length lies; which it is among equal ones counts, too. */
  const median = (a: number, b: number, c: number): number =>
    before(a, b) ? (before(b, c) ? b : before(a, c) ? c : a) : before(a, c) ? a : before(b, c) ? c : b

  /** Divides [first, last) by the pivot, which is put at `first`; returns where the second part begins. */
  const divide = (first: number, last: number): number => {
    swap(first, median(first + 1, first + ((last - first) >> 1), last - 1))
    let [low, high] = [first + 1, last]
    for (;;) {
      while (before(low, first)) low++
      high--
      while (before(first, high)) high--
      if (low >= high) return low
      swap(low++, high)
    }
  }
  // Parts of 16 and fewer are left as they are. libstdc++ turns to a heap after 2 log2(n) unlucky divisions; lengths that are
  // made for that are sorted here, too, but not with the same order of equal ones.
  const sortParts = (first: number, end: number): void => {
    let last = end
    while (last - first > few) {
      const cut = divide(first, last)
      sortParts(cut, last)
      last = cut
    }
  }
  sortParts(0, order.length)
  // The insertion that ends it moves nothing past its equal: Array.sort, which is stable, comes to the same.
  return order.sort((a, b) => lengths[b] - lengths[a])
}
