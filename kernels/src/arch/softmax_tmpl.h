// SPDX-License-Identifier: Apache-2.0
// f32_softmax: three passes over a row. A NaN anywhere reaches the sum, and so every result.

// x where it is more than most, which stays where x is NaN.
TRN_INLINE row_lanes softmax_most(row_lanes most, row_lanes x) {
    ROW_EACH(j) most.part[j] = vf_at_least(x.part[j], most.part[j]);
    return most;
}

static float softmax_maximum(size_t n, const float *x) {
    row_lanes most = row_set1(-TRN_INF);
    size_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) most = softmax_most(most, row_load(x + i));
    if (i < n) most = softmax_most(most, row_load_n(x + i, n - i, -TRN_INF));
    return reduce_tree_MAX(most);
}

// e^(x - largest) of eight elements.
TRN_INLINE row_lanes softmax_powers(row_lanes x, float largest) {
    const vf top = vf_set1(largest);
    ROW_EACH(j) x.part[j] = f32_exp(vf_sub(x.part[j], top));
    return x;
}

// The powers stored in y, unless that is NULL, and summed: lane j takes every eighth element from j on.
static float softmax_sum(size_t n, const float *x, float largest, float *y) {
    row_lanes sum = row_set1(0.0f);
    size_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        row_lanes power = softmax_powers(row_load(x + i), largest);
        sum = reduce_lanes_SUM(sum, power);
        if (y) row_store(y + i, power);
    }
    if (i < n) {
        float eight[ROW_LANES];
        row_lanes power = softmax_powers(row_load_n(x + i, n - i, -TRN_INF), largest);
        sum = reduce_lanes_SUM(sum, power);
        row_store(eight, power);
        if (y) memcpy(y + i, eight, (n - i) * sizeof *y);
    }
    return reduce_tree_SUM(sum);
}

TRN_SLOT void TRN_KERNEL(f32_softmax)(size_t n, const float *x, int logarithm, float *y) {
    const float largest = softmax_maximum(n, x);
    float first[VF_LANES];
    if (!logarithm) {
        const float sum = softmax_sum(n, x, largest, y);
        const vf total = vf_set1(sum);
        size_t i = 0;
        for (; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_div(vf_load(y + i), total));
        if (i < n) vf_store_n(y + i, vf_div(vf_load_n(y + i, n - i), total), n - i);
        return;
    }
    vf_store(first, f32_log(vf_set1(softmax_sum(n, x, largest, NULL))));
    for (size_t i = 0; i < n; i++) y[i] = (x[i] - largest) - first[0];
}
