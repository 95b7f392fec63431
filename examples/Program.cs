// Runs an example: dotnet run -c Release --project examples -- mnist
using System.Diagnostics;
using Nanograd.Examples;

(string Name, string Says, Action Run)[] examples =
[
    ("mnist", "PyTorch's MNIST example: a convolutional net that reads digits", Mnist.Run),
    ("char-lstm", "an LSTM that learns to write Shakespeare, a character at a time", CharLstm.Run),
    ("seq2seq", "a Transformer that reverses sequences", Seq2Seq.Run),
    ("digits", "dense and convolutional nets on small digits, in 32 and in 16 bits", Digits.Run),
    ("adding", "LSTM and GRU remember two numbers over fifty steps", Adding.Run),
    ("small", "batch normalisation, dropout and mixup on two hundred digits", Small.Run),
    ("sophia", "Sophia-G against AdamW", Sophia.Run),
    ("moe", "a GPT whose blocks have eight experts, against a dense one of equal cost", Moe.Run),
];

var found = examples.FirstOrDefault(e => args.Length == 1 && e.Name == args[0]);
if (found.Run is not null)
{
    var watch = Stopwatch.StartNew();
    found.Run();
    Console.WriteLine($"{watch.Elapsed.TotalSeconds:F0} s");
    return 0;
}

Console.WriteLine("Which example? dotnet run -c Release --project examples -- NAME");
foreach (var (name, says, _) in examples)
{
    Console.WriteLine($"  {name,-10} {says}");
}

return 1;
