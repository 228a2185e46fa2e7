import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashSet;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.yarn.server.resourcemanager.placement.VariableContext;
import org.apache.hadoop.yarn.server.resourcemanager.placement.csmappingrule.MappingRule;
import org.apache.hadoop.yarn.server.resourcemanager.placement.csmappingrule.MappingRuleResult;
import org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacitySchedulerConfiguration;

/** Where the capacity scheduler's own rules, read from its settings, place each USER and GROUP,GROUP of a line. */
public class PlacedByMappings {
    public static void main(String[] words) throws Exception {
        Configuration read = new Configuration(false);
        read.addResource(Path.of(words[0]).toUri().toURL());
        CapacitySchedulerConfiguration settings = new CapacitySchedulerConfiguration(read, false);
        var rules = settings.getMappingRules();
        System.out.println(settings.getOverrideWithQueueMappings() + " " + rules.size());
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] asked = line.split("\t", -1);
            VariableContext about = new VariableContext();
            about.put("%user", asked[0]);
            about.put("%primary_group", asked[1].split(",")[0]);
            about.putExtraDataset("groups", new LinkedHashSet<>(Arrays.asList(asked[1].split(","))));
            System.out.println(placed(rules, about));
        }
    }

    private static String placed(Iterable<MappingRule> rules, VariableContext about) {
        for (MappingRule rule : rules) {
            MappingRuleResult result = rule.evaluate(about);
            switch (result.getResult()) {
                case SKIP: break;
                case PLACE: return result.getQueue();
                default: return result.getResult().toString();
            }
        }
        return "";
    }
}
