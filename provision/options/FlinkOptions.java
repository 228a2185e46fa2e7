/*
 * What Flink itself says of its options: lists them, or parses values by them.
 *
 * Usage, run as it is, with all jars of one Flink; "legacy" where its configuration file is flink-conf.yaml:
 *   java FlinkOptions.java list  legacy|yaml JAR...   a line for each option, the fields parted by tabs:
 *       key, type, default, values, "deprecated" or nothing, class;
 *       and for each other name of an option: "=", that name, "true" (deprecated) or "false", the option
 *   java FlinkOptions.java parse legacy|yaml JAR...   reads lines "key TAB value"; answers each with "ok",
 *       "fault TAB reason" or "unknown"
 */

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.annotation.Annotation;
import java.lang.reflect.AnnotatedElement;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;

public final class FlinkOptions {
    private static final String OPTION = "org.apache.flink.configuration.ConfigOption";
    private static final String DOCUMENTATION = "org.apache.flink.annotation.docs.Documentation$";
    // As it stands in the constant pool of a class that has a field of this type.
    private static final byte[] MARK =
            ("L" + OPTION.replace('.', '/') + ";").getBytes(StandardCharsets.US_ASCII);

    private static final String DEPRECATED = "\tdeprecated\t";
    private static final List<String> TABLES = List.of(
            "org.apache.flink.connector.base.table.",
            "org.apache.flink.connector.datagen.",
            "org.apache.flink.connector.file.table.",
            "org.apache.flink.connector.print.",
            "org.apache.flink.formats.",
            "org.apache.flink.table.api.config.LookupJoinHintOptions",
            "org.apache.flink.table.catalog.",
            "org.apache.flink.table.connector.",
            "org.apache.flink.table.module.",
            "org.apache.flink.table.planner.hint.",
            "org.apache.flink.table.utils.python.");

    private final ClassLoader loader;
    private final Class<?> optionClass;
    private final Map<String, Object> options = new TreeMap<>();
    private final Map<String, String> lines = new TreeMap<>();
    private final TreeSet<String> others = new TreeSet<>();

    private FlinkOptions(ClassLoader loader) throws ReflectiveOperationException {
        this.loader = loader;
        this.optionClass = Class.forName(OPTION, true, loader);
    }

    public static void main(String[] arguments) throws Exception {
        List<URL> urls = new ArrayList<>();
        TreeSet<String> names = new TreeSet<>();
        for (String jar : Arrays.asList(arguments).subList(2, arguments.length)) {
            urls.add(Path.of(jar).toUri().toURL());
            names.addAll(candidates(jar));
        }
        URLClassLoader loader =
                new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // what a class prints while it loads is no option
        readAs(arguments[1].equals("yaml"), loader);
        FlinkOptions found = new FlinkOptions(loader);
        for (String name : names) {
            found.read(name);
        }
        if (arguments[0].equals("list")) {
            found.list(out);
        } else {
            found.parse(out);
        }
    }

    /** Flink 1.20 reads lists and maps in two ways, by which file it found; 2.x knows one and has no switch. */
    private static void readAs(boolean yaml, ClassLoader loader) throws ReflectiveOperationException {
        Class<?> type = Class.forName("org.apache.flink.configuration.GlobalConfiguration", true, loader);
        for (Method method : type.getDeclaredMethods()) {
            if (method.getName().equals("setStandardYaml")) {
                method.setAccessible(true);
                method.invoke(null, yaml);
            }
        }
    }

    private static List<String> candidates(String jar) throws IOException {
        List<String> names = new ArrayList<>();
        try (JarFile file = new JarFile(jar)) {
            for (JarEntry entry : Collections.list(file.entries())) {
                String name = entry.getName();
                if (!name.startsWith("org/apache/flink/") || !name.endsWith(".class")) {
                    continue;
                }
                try (InputStream stream = file.getInputStream(entry)) {
                    if (contains(stream.readAllBytes(), MARK)) {
                        names.add(name.substring(0, name.length() - ".class".length()).replace('/', '.'));
                    }
                }
            }
        }
        return names;
    }

    private static boolean contains(byte[] all, byte[] part) {
        for (int start = 0; start <= all.length - part.length; start++) {
            int index = 0;
            while (index < part.length && all[start + index] == part[index]) {
                index++;
            }
            if (index == part.length) {
                return true;
            }
        }
        return false;
    }

    private void read(String name) {
        try {
            for (Field field : Class.forName(name, false, loader).getDeclaredFields()) {
                if (Modifier.isStatic(field.getModifiers()) && field.getType() == optionClass) {
                    field.setAccessible(true);
                    add(name, field, field.get(null));
                }
            }
        } catch (ReflectiveOperationException | LinkageError error) {
            // A class that needs what Flink does not bring (Hadoop, say) is said, never passed over.
            System.err.println("unread: " + name + ": " + error);
        }
    }

    private void add(String owner, Field field, Object option) throws ReflectiveOperationException {
        String prefix = prefixOf(field, owner);
        String key = prefix + call(option, "key");
        if (isOfATable(owner, key) || isInternal(key)) {
            return;
        }
        Class<?> type = (Class<?>) hidden(option, "clazz");
        boolean list = (Boolean) hidden(option, "isList");
        String values = type.isEnum()
                ? Arrays.stream(type.getEnumConstants()).map(String::valueOf).collect(Collectors.joining(","))
                : "";
        String typeName = type.isEnum() ? "Enum" : type.getSimpleName();
        // The default of some depends on the machine: what Flink's own pages replace is left out.
        String byDefault = annotation(field, "OverrideDefault") == null ? defaultOf(option) : "";
        boolean deprecated = field.isAnnotationPresent(Deprecated.class);
        boolean better = !lines.containsKey(key) || (lines.get(key).contains(DEPRECATED) && !deprecated);
        if (better) {
            options.put(key, option);
            lines.put(key, String.join("\t", key, list ? "List<" + typeName + ">" : typeName,
                    escape(byDefault), values, deprecated ? "deprecated" : "", owner));
        }
        for (Object fallback : (Iterable<?>) call(option, "fallbackKeys")) {
            others.add(String.join("\t", "=", prefix + call(fallback, "getKey"),
                    String.valueOf(call(fallback, "isDeprecated")), key));
        }
    }

    private String prefixOf(Field field, String owner) throws ReflectiveOperationException {
        if (owner.endsWith(".SqlGatewayRestOptions")) {
            return "sql-gateway.endpoint.rest."; // SqlGatewayRestEndpointFactory takes the prefix off
        }
        Annotation suffix = annotation(field, "SuffixOption");
        if (suffix == null) {
            suffix = annotation(field.getDeclaringClass(), "SuffixOption");
        }
        String prefix = suffix == null ? "" : String.valueOf(call(suffix, "value"));
        return prefix.isEmpty() || prefix.endsWith(".") ? prefix : prefix + ".";
    }

    /** Options of a table, a catalogue or a hint in SQL; the configuration file is not where they are read. */
    private static boolean isOfATable(String owner, String key) {
        if (owner.endsWith(".FactoryUtil")) {
            return !key.startsWith("sql-gateway.") && !key.startsWith("workflow-scheduler.");
        }
        if (key.indexOf('.') < 0 && !owner.startsWith("org.apache.flink.configuration.")) {
            return true; // what an operator keeps for itself, or a parameter in SQL
        }
        return TABLES.stream().anyMatch(owner::startsWith);
    }

    private static boolean isInternal(String key) {
        return key.startsWith("$internal") || key.startsWith("__") || key.startsWith("internal.")
                || key.startsWith("hidden.") || key.startsWith("fields.#") || key.equals("class");
    }

    private Annotation annotation(AnnotatedElement element, String name) {
        for (Annotation found : element.getAnnotations()) {
            if (found.annotationType().getName().equals(DOCUMENTATION + name)) {
                return found;
            }
        }
        return null;
    }

    private String defaultOf(Object option) throws ReflectiveOperationException {
        Object value = call(option, "defaultValue");
        if (value == null) {
            return "";
        }
        Class<?> type = Class.forName("org.apache.flink.configuration.Configuration", true, loader);
        Object configuration = type.getConstructor().newInstance();
        type.getMethod("set", optionClass, Object.class).invoke(configuration, option, value);
        Map<?, ?> map = (Map<?, ?>) type.getMethod("toMap").invoke(configuration);
        return map.isEmpty() ? "" : String.valueOf(map.values().iterator().next());
    }

    private static Object call(Object object, String name) throws ReflectiveOperationException {
        Method method = object.getClass().getMethod(name);
        method.setAccessible(true);
        return method.invoke(object);
    }

    private static Object hidden(Object object, String name) throws ReflectiveOperationException {
        Field field = object.getClass().getDeclaredField(name);
        field.setAccessible(true);
        return field.get(object);
    }

    private static String escape(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    }

    private void list(PrintStream out) {
        lines.values().forEach(out::println);
        others.forEach(out::println);
    }

    private void parse(PrintStream out) throws IOException, ReflectiveOperationException {
        Class<?> type = Class.forName("org.apache.flink.configuration.Configuration", true, loader);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t", 2);
            Object option = options.get(parts[0]);
            if (option == null) {
                out.println("unknown");
                continue;
            }
            Object map = Map.of(String.valueOf(call(option, "key")), parts[1]);
            Object configuration = type.getMethod("fromMap", Map.class).invoke(null, map);
            try {
                type.getMethod("get", optionClass).invoke(configuration, option);
                out.println("ok");
            } catch (InvocationTargetException error) {
                out.println("fault\t" + escape(String.valueOf(error.getCause())));
            }
        }
    }
}
