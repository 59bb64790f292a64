// C in tiles of MR x NR by kTiles; narrow tiles go through a full one beside C.
void compute(const GemmFamily::Compute& g) {
  for (long row = 0; row < g.rows; row += MR) {
    const int rows = static_cast<int>(min_of(MR, g.rows - row));
    TileArgs t{};
    t.a = g.a + static_cast<size_t>(row / MR) * g.a_stride;
    t.tail_a = g.tail_a + row * g.tail_depth;
    t.depth = g.depth;
    t.tail_depth = g.tail_depth;
    for (long col = 0; col < g.cols; col += NR) {
      t.b = g.b + static_cast<size_t>(col / NR) * g.b_stride;
      t.tail_b = g.tail_b + col * g.tail_depth;
      t.c = g.c + row * g.ldc + col;
      t.ldc = g.ldc;
      t.from = g.from ? g.from + row * g.from_ld + col : nullptr;
      t.from_ld = g.from_ld;
      const long cols = g.cols - col;
      if (cols >= NR) {
        kTiles[rows](t);
        continue;
      }
      alignas(64) float part[MR * NR];
      for (long i = 0; i < rows; i++)
        for (long j = 0; j < NR; j++) part[i * NR + j] = t.from && j < cols ? t.from[i * t.from_ld + j] : 0.0f;
      t.c = part;
      t.from = part;
      t.ldc = t.from_ld = NR;
      kTiles[rows](t);
      for (long i = 0; i < rows; i++)
        memcpy(g.c + (row + i) * g.ldc + col, part + i * NR, static_cast<size_t>(cols) * sizeof(float));
    }
  }
}
