using System.Text;
using Nanograd.Cli;

Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
return App.Run(args, new Terminal(Console.Out, Console.Error, Console.IsOutputRedirected));
