// Elementwise functions by number, in the order of `Unary::ALL`.

fn erf_near(z: f32) -> f32 {
    // Taylor series for |z| < 0.84: z · 2/√π · Σ (-z²)ⁿ / (n! (2n+1)).
    let s = -z * z;
    var p = 1.0 / 6894720.0;
    p = p * s + 1.0 / 685440.0;
    p = p * s + 1.0 / 75600.0;
    p = p * s + 1.0 / 9360.0;
    p = p * s + 1.0 / 1320.0;
    p = p * s + 1.0 / 216.0;
    p = p * s + 1.0 / 42.0;
    p = p * s + 1.0 / 10.0;
    p = p * s + 1.0 / 3.0;
    p = p * s + 1.0;
    return z * p * 1.1283791670955126;
}

fn erfc_far(z: f32) -> f32 {
    // e^(-z²) · P(1 / (1 + z/2)) for z >= 0.84, our own least-squares fit to 1.2e-8.
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = 0.07143160642;
    p = p * t - 0.1556311163;
    p = p * t - 0.01374097261;
    p = p * t + 0.1336630782;
    p = p * t + 0.1455552895;
    p = p * t + 0.2563677646;
    p = p * t + 0.2804326566;
    p = p * t + 0.2822498686;
    p = p * t - 0.000006028323382;
    return p * exp(-z * z);
}

fn erf(x: f32) -> f32 {
    let z = abs(x);
    if (z < 0.84) {
        return erf_near(x);
    }
    return sign(x) * (1.0 - erfc_far(z));
}

fn gelu(x: f32) -> f32 {
    let z = abs(x) * 0.7071067811865476;
    if (z < 0.84) {
        return x * (0.5 + 0.5 * erf_near(x * 0.7071067811865476));
    }
    let tail = 0.5 * erfc_far(z);
    return x * select(1.0 - tail, tail, x < 0.0);
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

fn tanh_safe(x: f32) -> f32 {
    // The built-in one may overflow, and cancels near 0.
    let a = clamp(x, -10.0, 10.0);
    if (abs(a) < 0.3) {
        let s = a * a;
        var p = -1382.0 / 155925.0;
        p = p * s + 62.0 / 2835.0;
        p = p * s - 17.0 / 315.0;
        p = p * s + 2.0 / 15.0;
        p = p * s - 1.0 / 3.0;
        return a + a * s * p;
    }
    return 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
}

fn activate(op: u32, x: f32) -> f32 {
    switch op {
        case 0u: { return abs(x); }
        case 1u: { return cos(x); }
        case 2u: { return erf(x); }
        case 3u: { return exp(x); }
        case 4u: { return gelu(x); }
        case 5u: { return 0.5 * x * (1.0 + tanh_safe(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
        case 6u: { return log(x); }
        case 7u: { return -x; }
        case 8u: { return x * sigmoid(1.702 * x); }
        case 9u: { return 1.0 / x; }
        case 10u: { return select(x, 0.0, x < 0.0); }
        case 11u: { return sigmoid(x); }
        case 12u: { return x * sigmoid(x); }
        case 13u: { return sin(x); }
        case 14u: { return sqrt(x); }
        case 15u: { return tanh_safe(x); }
        default: { return x; }
    }
}

