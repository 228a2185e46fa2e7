// SPDX-License-Identifier: Apache-2.0
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.Option;
import org.apache.commons.cli.Options;
import org.apache.flink.client.cli.CliFrontend;
import org.apache.flink.client.cli.CliFrontendParser;
import org.apache.flink.client.cli.CustomCommandLine;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.yarn.cli.FlinkYarnSessionCli;

/**
 * What Flink itself makes of command lines.
 *
 * <p>Arguments: a folder with Flink's configuration, and a file with a line for each command line: `run` or
 * `session`, then the words in hexadecimal, all after a comma. Prints a line for each: help, target, queue and the
 * words that are not options, in hexadecimal after commas; or a single `!`. With no file: the options that it knows.
 */
public class ParsedLines {
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] words) throws Exception {
        Configuration configuration = GlobalConfiguration.loadConfiguration(words[0]);
        List<CustomCommandLine> ways = CliFrontend.loadCustomCommandLines(configuration, words[0]);
        CliFrontend frontend = new CliFrontend(configuration, ways);
        FlinkYarnSessionCli session = new FlinkYarnSessionCli(configuration, words[0], "", "");
        if (words.length == 1) {
            Options more = new Options();
            for (CustomCommandLine way : ways) {
                way.addGeneralOptions(more);
                way.addRunOptions(more);
            }
            print("run", CliFrontendParser.mergeOptions(CliFrontendParser.getRunCommandOptions(), more));
            Options own = new Options();
            session.addGeneralOptions(own);
            session.addRunOptions(own);
            print("session", own);
            return;
        }
        for (String line : Files.readAllLines(Path.of(words[1]))) {
            String[] parts = line.split(",", -1);
            String[] given = new String[parts.length - 1];
            for (int i = 1; i < parts.length; i++) {
                given[i - 1] = new String(HEX.parseHex(parts[i]), StandardCharsets.UTF_8);
            }
            System.out.println("=" + (parts[0].equals("run") ? run(frontend, given) : session(session, given)));
        }
    }

    private static String run(CliFrontend frontend, String[] given) {
        try {
            CommandLine parsed = frontend.getCommandLine(CliFrontendParser.getRunCommandOptions(), given, true);
            Method effective = CliFrontend.class.getDeclaredMethod(
                    "getEffectiveConfiguration", CustomCommandLine.class, CommandLine.class);
            effective.setAccessible(true);
            CustomCommandLine way = frontend.validateAndGetActiveCommandLine(parsed);
            return said(parsed, (Configuration) effective.invoke(frontend, way, parsed));
        } catch (Exception error) {
            return "!";
        }
    }

    private static String session(FlinkYarnSessionCli session, String[] given) {
        try {
            CommandLine parsed = session.parseCommandLineOptions(given, true);
            return said(parsed, session.toConfiguration(parsed));
        } catch (Exception error) {
            return "!";
        }
    }

    private static String said(CommandLine parsed, Configuration configuration) {
        List<String> found = new ArrayList<>();
        found.add(parsed.hasOption("h") ? "help" : "");
        found.add(configuration.getString("execution.target", ""));
        found.add(configuration.getString("yarn.application.queue", "(none)"));
        found.addAll(parsed.getArgList());
        StringBuilder text = new StringBuilder();
        for (String one : found) {
            text.append(HEX.formatHex(one.getBytes(StandardCharsets.UTF_8))).append(",");
        }
        return text.toString();
    }

    private static void print(String name, Options options) {
        for (Option option : options.getOptions()) {
            int count = option.getArgs() == Option.UNLIMITED_VALUES ? 9 : Math.max(option.getArgs(), 0);
            String more = option.getLongOpt() == null ? "" : option.getLongOpt();
            System.out.println("=" + name + " " + option.getOpt() + "/" + more + "/" + count);
        }
    }
}
