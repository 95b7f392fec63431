using Nanograd.CSharp;

namespace FacadeTests.Oracles;

/// <summary>Operations of the reference numbers that are recurrent networks, attention and transformers.</summary>
internal static class OracleAttention
{
    private static readonly Dictionary<string, OracleOperation> Named = new()
    {
        ["rnn"] = c =>
        {
            var (input, hidden, layers, bias, batchFirst, bidirectional) = Sizes(c);
            var rnn = c.Loaded(new RNN(input, hidden, layers, c.Text("nonlinearity", "tanh"), bias, batchFirst, bidirectional: bidirectional));
            var (output, hn) = rnn.Forward(c["x"], c.TryInput("h0"), c.TryInput("lengths"));
            return [("output", output), ("h_n", hn)];
        },
        ["gru"] = c =>
        {
            var (input, hidden, layers, bias, batchFirst, bidirectional) = Sizes(c);
            var gru = c.Loaded(new GRU(input, hidden, layers, bias, batchFirst, bidirectional: bidirectional));
            var (output, hn) = gru.Forward(c["x"], c.TryInput("h0"), c.TryInput("lengths"));
            return [("output", output), ("h_n", hn)];
        },
        ["lstm"] = c =>
        {
            var (input, hidden, layers, bias, batchFirst, bidirectional) = Sizes(c);
            var lstm = c.Loaded(new LSTM(input, hidden, layers, bias, batchFirst, bidirectional: bidirectional, projSize: c.Int("proj_size", 0)));
            var (output, (hn, cn)) = lstm.Forward(c["x"], c.TryInput("h0") is { } h0 ? (h0, c["c0"]) : null, c.TryInput("lengths"));
            return [("output", output), ("h_n", hn), ("c_n", cn)];
        },
        ["rnn_cell"] = c => [("output", Cell(c, (i, h, b) => new RNNCell(i, h, b, c.Text("nonlinearity", "tanh"))).Forward(c["x"], c.TryInput("h")))],
        ["gru_cell"] = c => [("output", Cell(c, (i, h, b) => new GRUCell(i, h, b)).Forward(c["x"], c.TryInput("h")))],
        ["lstm_cell"] = c =>
        {
            var (h, cell) = Cell(c, (i, h, b) => new LSTMCell(i, h, b)).Forward(c["x"], c.TryInput("h") is { } h0 ? (h0, c["c"]) : null);
            return [("h", h), ("c", cell)];
        },
        ["multihead_attention"] = Multihead,
        ["transformer_encoder_layer"] = c =>
        {
            var layer = c.Loaded(new TransformerEncoderLayer(
                Width(c), c.Int("nhead", 1), Inner(c), 0, c.Text("activation", "relu"), c.Float("layer_norm_eps", 1e-5), c.Bool("batch_first"), c.Bool("norm_first"), HasBias(c)));
            return [("output", layer.Forward(c["x"], c.TryInput("src_mask", "mask", "attn_mask"), c.TryInput("src_key_padding_mask", "key_padding_mask")))];
        },
        ["transformer_decoder_layer"] = c =>
        {
            var layer = c.Loaded(new TransformerDecoderLayer(
                Width(c), c.Int("nhead", 1), Inner(c), 0, c.Text("activation", "relu"), c.Float("layer_norm_eps", 1e-5), c.Bool("batch_first"), c.Bool("norm_first"), HasBias(c)));
            return
            [
                ("output", layer.Forward(
                    c["x"], c["memory"], c.TryInput("tgt_mask", "mask", "attn_mask"), c.TryInput("memory_mask"),
                    c.TryInput("tgt_key_padding_mask", "key_padding_mask"), c.TryInput("memory_key_padding_mask"))),
            ];
        },
    };

    private static (int Input, int Hidden, int Layers, bool Bias, bool BatchFirst, bool Bidirectional) Sizes(OracleCase c) =>
        (c.Int("input_size", 1), c.Int("hidden_size", 1), c.Int("num_layers", 1), c.Bool("bias", true), c.Bool("batch_first"), c.Bool("bidirectional"));

    private static T Cell<T>(OracleCase c, Func<int, int, bool, T> make) where T : Module =>
        c.Loaded(make(c.Param("weight_ih").Shape[1], c.Param("weight_hh").Shape[1], c.HasParam("bias_ih")));

    private static (string, Tensor)[] Multihead(OracleCase c)
    {
        var width = c.Int("embed_dim", c["q"].Shape[^1]);
        var attention = c.Loaded(new MultiheadAttention(
            width, c.Int("num_heads", 1), bias: c.HasParam("in_proj_bias"), addBiasKv: c.HasParam("bias_k"), addZeroAttn: c.Bool("add_zero_attn"),
            kdim: c.Int("kdim", c["k"].Shape[^1]), vdim: c.Int("vdim", c["v"].Shape[^1]), batchFirst: c.Bool("batch_first")));
        var (output, weights) = attention.Forward(
            c["q"], c["k"], c["v"], c.TryInput("key_padding_mask"), c.Bool("need_weights", true), c.TryInput("attn_mask"), c.Bool("average_attn_weights", true),
            c.Bool("is_causal"));
        return [("output", output), ("attn_weights", weights)];
    }

    private static int Width(OracleCase c) => c.Int("d_model", c["x"].Shape[^1]);

    private static int Inner(OracleCase c) => c.Int("dim_feedforward", c.Param("linear1.weight").Shape[0]);

    private static bool HasBias(OracleCase c) => c.HasParam("linear1.bias");

    public static OracleOperation? TryFind(string name) => Named.GetValueOrDefault(name);
}
