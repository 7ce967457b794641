// SPDX-License-Identifier: Apache-2.0
// f32_reduce, f32_standardize: sums over a row. Lane j takes every eighth element from j on, then one tree of the lanes:
// ((0, 4), (2, 6)), ((1, 5), (3, 7)); products, maxima and minima go the same way.

// F(row of the enumeration reduction, the value of no elements, a and b folded)
#define REDUCE_KINDS(F)                                                        \
    F(SUM, 0.0f, vf_add(a, b))                                                 \
    F(PROD, 1.0f, vf_mul(a, b))                                                \
    F(MAX, -TRN_INF, vf_select(vf_is_nan(a), a, vf_at_least(a, b)))            \
    F(MIN, TRN_INF, vf_select(vf_is_nan(a), a, vf_at_most(a, b)))

// The last elements of a row, the other lanes neutral.
TRN_INLINE vf reduce_tail(const float *x, size_t n, float neutral) {
    float lanes[VF_LANES];
    vf_store(lanes, vf_set1(neutral));
    memcpy(lanes, x, n * sizeof *x);
    return vf_load(lanes);
}

// Lane 0 and lane 4, lane 1 and lane 5, ... side by side: what the tree folds next.
TRN_INLINE vf reduce_fold_lanes(vf v, int distance) {
    float lanes[VF_LANES];
    vf_store(lanes, v);
    for (int i = 0; i < distance; i++) lanes[i] = lanes[i + distance];
    return vf_load(lanes);
}

#define REDUCE_LOOP(name, neutral, expression)                                                              \
    TRN_INLINE vf reduce_two_##name(vf a, vf b) { return expression; }                                      \
    static float reduce_##name(size_t n, const float *x) {                                                  \
        vf lanes = vf_set1(neutral);                                                                        \
        float first[VF_LANES];                                                                              \
        size_t i = 0;                                                                                       \
        for (; i + VF_LANES <= n; i += VF_LANES) lanes = reduce_two_##name(lanes, vf_load(x + i));          \
        if (i < n) lanes = reduce_two_##name(lanes, reduce_tail(x + i, n - i, neutral));                    \
        for (int distance = VF_LANES / 2; distance > 0; distance /= 2)                                      \
            lanes = reduce_two_##name(lanes, reduce_fold_lanes(lanes, distance));                           \
        vf_store(first, lanes);                                                                             \
        return first[0];                                                                                    \
    }
REDUCE_KINDS(REDUCE_LOOP)

static void TRN_KERNEL(f32_reduce)(uint32_t kind, size_t n, const float *x, float *y) {
#define REDUCE_CASE(name, neutral, expression) \
    case trn_reduction_##name: *y = reduce_##name(n, x); break;
    switch (kind) {
        REDUCE_KINDS(REDUCE_CASE)
    case trn_reduction_MEAN: *y = reduce_SUM(n, x) / (float)n; break;
    }
#undef REDUCE_CASE
}

static void TRN_KERNEL(f32_standardize)(size_t n, const float *x, float epsilon, float *y) {
    const vf mean = vf_set1(reduce_SUM(n, x) / (float)n);
    vf squares = vf_zero();
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) {
        vf distance = vf_sub(vf_load(x + i), mean);
        squares = vf_add(squares, vf_mul(distance, distance));
        vf_store(y + i, distance);
    }
    if (i < n) {
        vf distance = vf_sub(vf_load_n(x + i, n - i), mean);
        vf_store_n(y + i, distance, n - i);
        distance = reduce_tail(y + i, n - i, 0.0f);
        squares = vf_add(squares, vf_mul(distance, distance));
    }
    const vf variance = vf_add(vf_set1(vf_reduce_add(squares) / (float)n), vf_set1(epsilon)), deviation = vf_sqrt(variance);
    for (i = 0; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_div(vf_load(y + i), deviation));
    if (i < n) vf_store_n(y + i, vf_div(vf_load_n(y + i, n - i), deviation), n - i);
}
