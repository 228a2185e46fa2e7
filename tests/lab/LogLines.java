// SPDX-License-Identifier: Apache-2.0
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * Writes as the processes of a container do, by Flink's own Log4j: numbered events of Flink and of an application.
 *
 * <p>Arguments: a mark, how many of each, and how many milliseconds after each. Every 50th has a stack trace.
 */
public class LogLines {
    public static void main(String[] words) throws Exception {
        Logger flink = LogManager.getLogger("org.apache.flink.test");
        Logger application = LogManager.getLogger("application.test");
        for (int number = 1; number <= Integer.parseInt(words[1]); number++) {
            String text = words[0] + "-" + number + "- " + "x".repeat(200);
            if (number % 50 == 0) {
                Exception why = new IllegalStateException("boo", new RuntimeException("two\nlines"));
                flink.error(text, why);
                application.error(text, why);
            } else {
                flink.info(text);
                application.info(text);
            }
            Thread.sleep(Integer.parseInt(words[2]));
        }
        LogManager.shutdown();
    }
}
