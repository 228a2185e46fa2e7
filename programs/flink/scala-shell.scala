// SPDX-License-Identifier: Apache-2.0
// Read by the Scala shell at its start, for every Flink line: the environment whose jobs carry what was typed.

/** Packs the shell's classes into the jar that `pipeline.jars` names, each time before a job is submitted. */
class PndaShellEnvironment(
    settings: org.apache.flink.configuration.Configuration, classes: java.nio.file.Path, jar: java.nio.file.Path)
    extends org.apache.flink.streaming.api.environment.StreamExecutionEnvironment(settings) {
  override def executeAsync(
      graph: org.apache.flink.streaming.api.graph.StreamGraph): org.apache.flink.core.execution.JobClient = {
    import java.nio.file.Files
    val out = new java.util.jar.JarOutputStream(Files.newOutputStream(jar))
    try {
      val files = Files.walk(classes)
      try files.forEach { file =>
        if (Files.isRegularFile(file)) {
          out.putNextEntry(new java.util.zip.ZipEntry(classes.relativize(file).toString))
          Files.copy(file, out)
          out.closeEntry()
        }
      } finally files.close()
    } finally out.close()
    super.executeAsync(graph)
  }
}

object PndaShell {
  import java.nio.file.{Files, Path, Paths}
  import scala.collection.JavaConverters._

  private val folder = Paths.get(System.getProperty("pnda.shell.folder"))

  Runtime.getRuntime.addShutdownHook(new Thread {
    override def run(): Unit = {
      def remove(path: Path): Unit = {
        if (Files.isDirectory(path) && !Files.isSymbolicLink(path)) {
          val entries = Files.list(path)
          try entries.forEach(entry => remove(entry)) finally entries.close()
        }
        Files.deleteIfExists(path)
      }
      try remove(folder) catch { case _: java.io.IOException => () } // the next shell removes it
    }
  })

  def environment(): PndaShellEnvironment = {
    val settings = org.apache.flink.configuration.GlobalConfiguration.loadConfiguration(
      System.getProperty("pnda.shell.conf"))
    settings.setString("execution.attached", "true")
    Files.readAllLines(folder.resolve("options")).asScala.foreach { option =>
      val at = option.indexOf('=')
      settings.setString(option.substring(0, at), option.substring(at + 1))
    }
    val jar = folder.resolve("typed.jar")
    val own = Files.readAllLines(folder.resolve("jars")).asScala.map(Paths.get(_))
    val given = settings.getString("pipeline.jars", "")
    val all = (jar +: own).map(_.toUri.toString) ++ (if (given.isEmpty) Nil else List(given))
    settings.setString("pipeline.jars", all.mkString(";"))
    new PndaShellEnvironment(settings, folder.resolve("classes"), jar)
  }
}
