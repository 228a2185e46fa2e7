package org.pnda.lab;

import java.util.Properties;

/** Settings that every Kafka client of the lab's jobs has. */
final class KafkaClients {
    private KafkaClients() {}

    /** How long a client waits for a broker that does not answer before its job fails. */
    private static final String PATIENCE_MILLIS = "15000";

    /** Returns settings with which a job whose broker is away fails soon and says so. */
    static Properties properties() {
        Properties properties = new Properties();
        properties.setProperty("default.api.timeout.ms", PATIENCE_MILLIS);
        properties.setProperty("request.timeout.ms", "10000");
        return properties;
    }

    /** Returns the same for a producer; its transactions stay below the broker's limit of 15 minutes. */
    static Properties producerProperties() {
        Properties properties = properties();
        properties.remove("default.api.timeout.ms");
        properties.setProperty("max.block.ms", PATIENCE_MILLIS);
        properties.setProperty("delivery.timeout.ms", "20000");
        properties.setProperty("transaction.timeout.ms", "600000");
        return properties;
    }
}
